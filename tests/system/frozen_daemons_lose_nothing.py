#!/usr/bin/env python3
"""Gateway or agent stands still for some seconds, as a virtual machine does that is moved or restored: the stream
through them goes on in the same session, whole."""
import os
import signal
import socket
import threading
import time

from support.play import Scenario, play
from support.scenario import log_of

from local_pair import wait_until

MIB = 1 << 20
SIZE = 128 * MIB
FROZEN_SECONDS = (1, 8)  # Less and more than a lane, and a handshake, may be silent.


class Upload:
    """One stream with known bytes, read by the target as they come."""

    def __init__(self, port: int, listener: socket.socket):
        self.data, self.received, self.ended_in_order = os.urandom(MIB) * (SIZE // MIB), bytearray(), False
        self.source = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.target, _ = listener.accept()
        self.target.settimeout(120)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        try:
            self.source.sendall(self.data)
            self.source.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The target's side tells what is missing.

    def _receive(self) -> None:
        try:
            while piece := self.target.recv(1 << 18):
                self.received += piece
            self.ended_in_order = True
        except OSError:
            pass  # ended_in_order stays false.

    def whole(self) -> bool:
        for thread in self._threads:
            thread.join(150)
        self.source.close()
        self.target.close()
        return self.ended_in_order and self.received == self.data


def scenario_body(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    listener = scenario.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.settimeout(30)
    port = pair.add_forward("target", listener.getsockname()[1])
    session = pair.status()["session"]["id"]
    for daemon in (pair.gateway, pair.agent):
        for seconds in FROZEN_SECONDS:
            upload = Upload(port, listener)
            wait_until("the upload under way", lambda: len(upload.received) > SIZE // 8)
            daemon.process.send_signal(signal.SIGSTOP)
            try:
                time.sleep(seconds)  # How long it stands still is what is tried.
            finally:
                daemon.process.send_signal(signal.SIGCONT)
            unfinished = len(upload.received) < SIZE
            scenario.check(f"{daemon.name} stood still for {seconds} s in the middle of {SIZE // MIB} MiB, which came "
                           f"whole", upload.whole() and unfinished, f"{len(upload.received)} of {SIZE} bytes")
    scenario.check("it was one session from beginning to end, and no stream was reset",
                   pair.status()["session"]["id"] == session and pair.status()["streams"]["reset_total"] == 0,
                   pair.status())
    scenario.check("nothing on the way is blamed for a gateway that stood still",
                   "proves its identity by a signature" not in log_of(pair.agent), pair.agent.log_end())


if __name__ == "__main__":
    play(scenario_body)
