#!/usr/bin/env python3
"""Half a gigabyte, up and then down, to an end that stops in the middle so that all windows fill: 5 s after the last byte
both daemons have given back what they took for it, although the stream stays open."""
import socket
import threading
import time
from pathlib import Path

from support.play import Scenario, play

from local_pair import PairError, wait_until

BYTES = 500_000_000
PIECE = bytes(1 << 20)
WITHIN = 5  # Seconds: two turns of what each daemon does every 2 s, and the second after which a stream is idle.
LEFT_MIB = 8  # Measured: 2 to 4 stay, while full windows hold 15 to 135.


def taken_mib(pid: int) -> float:
    """Memory of its own; pages of its program, which it shares with each command that runs, are not counted."""
    kib = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
            kib += int(line.split()[1])
    return kib / 1024


class Bulk:
    """From one socket to another, in two halves."""

    def __init__(self, sender: socket.socket, receiver: socket.socket):
        self._sender, self._receiver, self._sent, self._received = sender, receiver, 0, 0
        self._buffer = bytearray(1 << 20)
        threading.Thread(target=self._send, daemon=True).start()

    def _send(self) -> None:
        while self._sent < BYTES:
            self._sent += self._sender.send(PIECE[:BYTES - self._sent])

    def receive(self, until: int) -> None:
        while self._received < until:
            got = self._receiver.recv_into(self._buffer)
            if got == 0:
                raise PairError(f"the stream ended after {self._received} bytes")
            self._received += got

    def wait_until_stuck(self) -> None:
        """Nothing has gone in for half a second: all windows are full."""
        seen = [(time.monotonic(), self._sent)]

        def stuck() -> bool:
            if seen[0][1] != self._sent:
                seen[0] = (time.monotonic(), self._sent)
            return time.monotonic() - seen[0][0] > 0.5

        wait_until("windows that are full", stuck)


def body(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    listener = scenario.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port = pair.add_forward("bulk", listener.getsockname()[1])
    source = scenario.stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    target = scenario.stack.enter_context(listener.accept()[0])
    for end in (source, target):
        end.settimeout(60)
    source.sendall(b"1")
    scenario.check("a stream", target.recv(1) == b"1")
    pids = {"agent": pair.agent.process.pid, "gateway": pair.gateway.process.pid}
    before = {name: taken_mib(pid) for name, pid in pids.items()}
    for way, ends in (("up", (source, target)), ("down", (target, source))):
        bulk = Bulk(*ends)
        bulk.receive(BYTES // 2)
        bulk.wait_until_stuck()
        held = {name: taken_mib(pid) for name, pid in pids.items()}
        bulk.receive(BYTES)
        goes_back(scenario, way, pids, before, held)


def goes_back(scenario: Scenario, way: str, pids: dict[str, int], before: dict[str, float], held: dict[str, float]) -> None:
    ended = time.monotonic()
    left = dict.fromkeys(pids, float("inf"))

    def back() -> bool:
        for name, pid in pids.items():
            left[name] = taken_mib(pid) - before[name]
        return max(left.values()) <= LEFT_MIB

    try:
        wait_until("memory given back", back, WITHIN)
    except PairError as error:
        raise PairError(f"{error}: {way}, of what they had before ({before}) and held ({held}), MiB are left: {left}") from None
    shown = ", ".join(f"{name} {before[name]:.1f}, {held[name]:.1f} and {before[name] + left[name]:.1f}" for name in pids)
    scenario.check(f"{BYTES:,} bytes {way}, given back within {time.monotonic() - ended:.1f} s; MiB before, when all windows "
                   f"were full, and after: {shown}", True)
    scenario.check("the windows held more than may be left", max(held[name] - before[name] for name in pids) > LEFT_MIB, held)


play(body)
