"""Streams whose target has stopped reading, for bench fair. The target is this file as well:

    deaf_streams.py PORT    # takes connections on loopback, prints 'ready', reads a little of each and no more, ends with stdin
"""
from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from wan_peers import BIN, Culvert, Load, PairError, Process, wait_until
from wan_line import WanLine

TARGET_PORT = 7300  # Of the far end.
READ_KIB = 256  # Of each stream, as one whose disk is full, not one that never was there.


class DeafStreams:
    """`count` of them, by the forward on near port `port`; their sources send as long as somebody takes it. A context."""

    def __init__(self, line: WanLine, load: Load, port: int, count: int):
        self._target = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *line.far, sys.executable,
                                         str(Path(__file__).resolve()), str(TARGET_PORT)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if not self._target.stdout.readline():
            raise PairError("the target that does not read could not begin")
        self._sources = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *load.command(
            "steady", [port], streams=count, seconds=1_000_000)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self) -> DeafStreams:
        return self

    def __exit__(self, *_: object) -> None:
        # The target first: it leaves bytes unread, so that its kernel resets the streams. Sources that ended first would leave
        # theirs in the kernel's buffers, and the streams open.
        for process in (self._target, self._sources):
            process.kill()
            process.wait()
        self._target.stdin.close()
        self._target.stdout.close()


def set_session_memory(culvert: Culvert, mib: int) -> None:
    """At both ends, which start anew with it."""
    gateway, agent = culvert.gateway, culvert.agent
    for daemon in (agent, gateway):
        daemon.process.stop()
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace("[limits]\n", f'[limits]\nsession_memory = "{mib} MiB"\n'))
    line, words = culvert.line, gateway.words
    gateway.process = Process([*line.far, *words, str(BIN / "culvert-gateway"), "run", "--config", str(gateway.config)],
                              gateway.folder / "gateway.log", ready="ready")
    agent.process = Process([*line.near, *words, str(BIN / "culvert-agent"), "run", "--config", str(agent.config)],
                            gateway.folder / f"agent-{agent.number}.log", ready="ready")
    wait_until("a session with another session_memory", lambda: agent.status()["session"]["state"] == "up")


def main() -> None:
    with socket.socket() as listener:
        # All that does not fit in here waits in Culvert's memory, and not in the kernel. A kernel keeps ten segments or more to
        # send, and loopback's are of 64 KiB.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen(1024)
        taken: list[socket.socket] = []

        def read_a_little(one: socket.socket) -> None:
            left = READ_KIB * 1024
            while left > 0 and (got := len(one.recv(left))) > 0:
                left -= got

        def take() -> None:
            while True:
                taken.append(listener.accept()[0])
                threading.Thread(target=read_a_little, args=[taken[-1]], daemon=True).start()

        threading.Thread(target=take, daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
