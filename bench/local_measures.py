"""The measurements of bench local: one function for each, of one peer; a dictionary comes back."""
from __future__ import annotations

import select
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Sequence

import paths  # noqa: F401
from load import Load
from local_pair import PairError
from local_peers import Direct
from processes import memory_kib, settled_memory_kib

HELD_MBIT = 1000
OPENERS = (1, 16)
STREAMS = (1, 11)
BUSY_BESIDE = 5000
IDLE = (1000, 10_000)
OPENING_SECONDS = 25


def throughput(load: Load, peer: Direct, streams: int, gib: float) -> dict:
    before = peer.cpu_seconds()
    result = load.run("throughput", peer.ports[:streams], streams=streams, bytes=int(gib * 2**30 / streams))
    result["cpu_s_per_gb"] = (peer.cpu_seconds() - before) / result["gb"]
    result["share"] = result["slowest_stream_gb_per_s"] / result["fastest_stream_gb_per_s"]
    return result


def round_trip(load: Load, peer: Direct, seconds: int, beside: str = "alone") -> dict:
    """`beside`: alone, held (a bulk stream at 1 Gbit/s) or bulk (as fast as it goes)."""
    options = {"seconds": seconds}
    if beside != "alone":
        options["beside"] = peer.ports[-1]
    if beside == "held":
        options["beside_mbit"] = HELD_MBIT
    return load.run("pingpong", peer.ports[:1], **options)


@contextmanager
def idle_streams(load: Load, peer: Direct, streams: int) -> Iterator[None]:
    command = ["setpriv", "--pdeathsig", "KILL", *load.command("idle", peer.ports[:1], streams=streams)]
    idle = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        readable, _, _ = select.select([idle.stdout], [], [], OPENING_SECONDS)
        if not readable:
            raise PairError(f"{streams} idle streams were not open after {OPENING_SECONDS} s")
        if not idle.stdout.readline().startswith(b"ready"):
            raise PairError(f"{streams} idle streams could not be held: {idle.stderr.read().decode().strip()}")
        yield
    finally:
        idle.kill()
        idle.communicate()


def idle(load: Load, peer: Direct, seconds: int, result: dict, counts: Sequence[int] = IDLE) -> None:
    """Growth of memory with 1,000 and 10,000 streams, and what the first cost while they do nothing.

    In fresh processes, for memory that an earlier load left behind would hide the growth. What is known before a peer
    breaks stays in `result`.
    """
    before = settled_memory(peer)
    result.update({"kib_per_stream": {}, "ends": {}})
    with idle_streams(load, peer, counts[0]):
        note_memory(result, peer, before, counts[0])
        began, cpu = time.monotonic(), peer.cpu_seconds()
        time.sleep(seconds)
        result["cpu_percent"] = (peer.cpu_seconds() - cpu) / (time.monotonic() - began) * 100
    for count in counts[1:]:
        if opened := peer.can_hold(count):
            with idle_streams(load, peer, opened):
                note_memory(result, peer, before, count, opened)


def settled_memory(peer: Direct) -> list[int]:
    """KiB of each end."""
    return settled_memory_kib([p.process.pid for p in peer.processes])


def note_memory(result: dict, peer: Direct, before: list[int], streams: int, opened: int = 0) -> None:
    ends = [(after - first) / (opened or streams) for first, after in zip(before, settled_memory(peer))]
    result["ends"][str(streams)], result["kib_per_stream"][str(streams)] = ends, sum(ends)


def busy_beside_idle(load: Load, peer: Direct, gib: float) -> dict:
    with idle_streams(load, peer, BUSY_BESIDE):
        return throughput(load, peer, 1, gib)


def peak(load: Load, peer: Direct, gib: float) -> dict:
    """The most memory that each end ever has in one long transfer."""
    pids = [p.process.pid for p in peer.processes]
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # Resets VmHWM.
    result = load.run("throughput", peer.ports[:1], streams=1, bytes=int(gib * 2**30))
    near, far = [memory_kib(pid, "status", "VmHWM") / 1024 for pid in pids]
    return {"gib": gib, "gb_per_s": result["gb_per_s"], "agent": near, "gateway": far}
