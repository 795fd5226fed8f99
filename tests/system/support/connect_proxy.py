"""A small HTTP proxy for scenarios: CONNECT and nothing else, and it cuts what it carries as it is told to."""
from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Callable, Optional

from support.tcp import Server

Forge = Callable[[bytes], Optional[bytes]]  # The client's first bytes -> what to answer instead of passing them on.


class ConnectProxy(Server):
    """Cuts each connection `cut_after` seconds after it was opened, or after `idle` seconds without a byte."""

    def __init__(self, host: str = "127.0.0.1", cut_after: float = 0, idle: float = 0, reset: bool = True,
                 greedy: Optional[Forge] = None):
        self.cut_after, self.idle, self.reset, self.greedy = cut_after, idle, reset, greedy
        self.opened = self.cuts = self.forged = 0
        self.largest_request = 0
        super().__init__(host)

    def serve(self, near: socket.socket) -> None:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = near.recv(4096)
                if not piece:
                    return near.close()
                head += piece
            self.largest_request = max(self.largest_request, len(head))
            method, where, _ = head.split(b" ", 2)
            host, _, port = where.decode().rpartition(":")
            if method != b"CONNECT":
                near.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return near.close()
            far = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.opened += 1
            self._carry(near, far)
        except OSError:
            near.close()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        if self.greedy is not None:
            first = near.recv(65536)
            answer = self.greedy(first)
            if answer is not None:
                self.forged += 1
                near.sendall(answer)
                self._end(near, far)
                return
            far.sendall(first)
        began = self._last = time.monotonic()
        done = threading.Event()
        threads = [threading.Thread(target=self._pump, args=(*pair, done), daemon=True)
                   for pair in ((near, far), (far, near))]
        for thread in threads:
            thread.start()
        while not done.wait(0.02):
            now = time.monotonic()
            if (self.cut_after and now - began > self.cut_after) or (self.idle and now - self._last > self.idle):
                self.cuts += 1
                break
        self._end(near, far)

    def _pump(self, source: socket.socket, sink: socket.socket, done: threading.Event) -> None:
        try:
            source.settimeout(None)
            while piece := source.recv(65536):
                self._last = time.monotonic()
                sink.sendall(piece)
        except OSError:
            pass
        done.set()

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            try:
                if self.reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR) if not self.reset else None
            except OSError:
                pass
            end.close()
