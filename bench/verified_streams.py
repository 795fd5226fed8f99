"""Many streams in both directions whose every byte is verified, and whose every late chunk is written down."""
from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import paths  # noqa: F401
from load import Load
from wan_line import WanLine
from wan_peers import BIN, Gateway, PairError

CHUNK = 768  # Bytes; with 16 agents the traffic of each is still enough for it to keep a lane for answers beside the other.
CHUNKS_PER_SECOND = 8_000  # Of all streams: more, and the verifying itself takes the machine.
# Beside bulk. Payloads of less than 4 KiB keep to one lane; of this, a lane at a time takes 16 KiB at most, slow ones less, so
# that a chunk is striped. No more of them than one lane of 10 to 20 Mbit/s carries: the session begins with one.
BULK_CHUNK, BULK_CHUNKS_PER_SECOND = 32 * 1024, 128
OUTAGE_SECONDS = (1, 8)  # Least and most, where no other length is asked for.
FORWARD_PORT, BULK_PORT = 6500, 6600


def chunk_bytes(arguments: argparse.Namespace) -> int:
    return BULK_CHUNK if arguments.bulk else CHUNK


def tick_us(arguments: argparse.Namespace) -> int:
    """Between two chunks of one direction of a stream. The longer the outages, the slower the streams: as much waits for the
    end of one as after the longest of the usual ones, for else the stall would be the time that the line takes to carry it."""
    longest = OUTAGE_SECONDS[1]
    most = BULK_CHUNKS_PER_SECOND if arguments.bulk else CHUNKS_PER_SECOND
    per_second = most * longest / max(arguments.outage or longest, longest)
    return max(20_000, int(arguments.agents * arguments.streams * 2 * 1_000_000 / per_second))


class Streams:
    """bench-verify: a sink for all, a source beside each agent."""

    def __init__(self, line: WanLine, gateway: Gateway, folder: Path, arguments: argparse.Namespace):
        self.folder, self._open = folder, []
        late_us = int(arguments.rtt * 500 + 10_000)
        tick = tick_us(arguments)
        self.base_ms, self.tick_ms = arguments.rtt / 2, tick / 1000
        self.sink = self._start([*line.far, str(BIN / "bench-verify"), "sink", "--listen", "0", "--late-us", str(late_us),
                                 "--log", str(folder / "sink.late")])
        gateway.admin("target", "add", "bench", "verified", f"127.0.0.1:{self._first_line(self.sink).split()[1]}")
        self.sources = []
        for agent in gateway.agents:
            agent.forward("verified", FORWARD_PORT + agent.number)
            self.sources.append(self._start([
                *line.near, str(BIN / "bench-verify"), "source", "--to", str(FORWARD_PORT + agent.number), "--agent",
                str(agent.number), "--streams", str(arguments.streams), "--seed", str(arguments.seed), "--chunk",
                str(chunk_bytes(arguments)), "--tick-us", str(tick), "--late-us", str(late_us), "--log",
                str(folder / f"source-{agent.number}.late")]))
        for source in self.sources:
            self._first_line(source)

    def _start(self, command: list) -> subprocess.Popen:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True, start_new_session=True)
        self._open.append(process)
        return process

    @staticmethod
    def _first_line(process: subprocess.Popen) -> str:
        line = process.stdout.readline()
        if not line.startswith("ready"):
            raise PairError("the verified streams could not begin")
        return line

    def finish(self) -> dict:
        """Ends all streams in order; the sum of what the ends counted."""
        for process in self.sources:
            process.stdin.close()
        told = [json.loads(process.stdout.read()) for process in self.sources]
        self.sink.stdin.close()
        at_sink = json.loads(self.sink.stdout.read())
        total = {key: sum(one[key] for one in told) for key in told[0]}
        total["wrong_bytes"] += at_sink["wrong_bytes"]
        total["reset_at_sink"] = at_sink["resets"] + at_sink["early_ends"]
        return total

    def late(self) -> dict[int, list[tuple]]:
        """By agent: (when a chunk was due, when it arrived, its stream and side), by the first."""
        found: dict[int, list[tuple]] = {}
        for file in self.folder.glob("*.late"):
            for text in file.read_text().splitlines():
                agent, stream, side, due, arrived = map(int, text.split())
                found.setdefault(agent, []).append((due, arrived, (stream, side)))
        for chunks in found.values():
            chunks.sort()
        return found

    def add_bulk(self, load: Load, gateway: Gateway) -> None:
        """One stream of each agent that never stops: with loss on CUBIC, several lanes pay."""
        gateway.admin("target", "add", "bench", "bulk", f"127.0.0.1:{load.port}")
        for agent in gateway.agents:
            agent.forward("bulk", BULK_PORT + agent.number)
            self._open.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *load.command(
                "steady", [BULK_PORT + agent.number], seconds=1_000_000)], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))

    def stop(self) -> None:
        for process in self._open:
            process.kill()
            process.wait()
