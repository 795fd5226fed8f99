"""A TCP line between agent and gateway that can be cut, stalled and mended while both are running.

One thread owns every socket and runs a selector loop; the methods only leave a wish and wake it.
"""
from __future__ import annotations

import selectors
import socket
import struct
import threading
from typing import Optional

MAX_KEPT_BYTES = 1 << 18  # Read from one end and not yet written to the other.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends a reset.


class _End:
    """One socket of a carried connection, with the bytes that wait for it."""

    def __init__(self, sock: socket.socket):
        self.sock, self.other = sock, None  # type: socket.socket, Optional[_End]
        self.waiting, self.read_end, self.shut = bytearray(), False, False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Line:
    """Carries TCP connections from its own port to `target_port`.

    cut()    resets all of them and every new one, until mend().
    stall()  stops all bytes and leaves the connections as they are, like a router that drops everything, until mend().
    """

    def __init__(self, target_port: int):
        self.target_port, self.carried_bytes = target_port, 0
        self._lock = threading.Condition()
        self._state, self._applied = "up", "up"
        self._selector, self._ends = selectors.DefaultSelector(), set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._wish("cut")

    def stall(self) -> None:
        self._wish("stalled")

    def mend(self) -> None:
        self._wish("up")

    def close(self) -> None:
        self._wish("closed")
        self._thread.join(10)

    def _wish(self, state: str) -> None:
        """Returns once the thread acts by it: after cut() no byte is carried any more."""
        with self._lock:
            if self._applied == "closed":
                return
            self._state = state
            self._wake_writer.send(b"x")
            self._lock.wait_for(lambda: self._applied in (state, "closed"), 10)

    def _run(self) -> None:
        while self._applied != "closed":
            for key, events in self._selector.select():
                if key.fileobj is self._wake_reader:
                    self._wake_reader.recv(64)
                    self._apply()
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._ends:  # Not dropped by an earlier event of this round.
                    self._serve(key.data, events)

    def _apply(self) -> None:
        with self._lock:
            state = self._state
        if state in ("cut", "closed"):
            for end in list(self._ends):
                self._drop(end)
        with self._lock:
            self._applied = state
            self._lock.notify_all()
        if state == "closed":
            self._selector.close()
            for sock in (self._listener, self._wake_reader):
                sock.close()
            return
        if (state == "stalled") == (self._listener in self._selector.get_map()):
            if state == "stalled":  # Nobody is answered; callers wait in the listener's queue.
                self._selector.unregister(self._listener)
            else:
                self._selector.register(self._listener, selectors.EVENT_READ)
        for end in list(self._ends):
            self._watch(end)

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        try:
            if self._applied == "cut":
                raise OSError("the line is cut")
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            near.close()
            return
        ends = _End(near), _End(far)
        ends[0].other, ends[1].other = ends[1], ends[0]
        self._ends |= set(ends)
        for end in ends:
            self._watch(end)

    def _serve(self, end: _End, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._read(end)
            if events & selectors.EVENT_WRITE:
                self._write(end)
        except BlockingIOError:
            return
        except OSError:
            self._drop(end)
            return
        self._watch(end)
        self._watch(end.other)

    def _read(self, end: _End) -> None:
        piece = end.sock.recv(MAX_KEPT_BYTES)
        if not piece:
            end.read_end = True
        end.other.waiting += piece
        self.carried_bytes += len(piece)
        self._write(end.other)

    def _write(self, end: _End) -> None:
        try:
            while end.waiting:
                del end.waiting[:end.sock.send(end.waiting)]
        except BlockingIOError:
            return
        if end.other.read_end and not end.shut:
            end.shut = True
            end.sock.shutdown(socket.SHUT_WR)
        if end.shut and end.other.shut:
            self._drop(end)

    def _watch(self, end: _End) -> None:
        if end not in self._ends:
            return
        events = 0
        if self._applied == "up":
            if not end.read_end and len(end.other.waiting) < MAX_KEPT_BYTES:
                events |= selectors.EVENT_READ
            if end.waiting:
                events |= selectors.EVENT_WRITE
        known = self._selector.get_map().get(end.sock)
        if known is None and events:
            self._selector.register(end.sock, events, end)
        elif known is not None and not events:
            self._selector.unregister(end.sock)
        elif known is not None and known.events != events:
            self._selector.modify(end.sock, events, end)

    def _drop(self, end: _End) -> None:
        """Ends both sockets of a connection: with a reset, unless both directions had ended."""
        for one in (end, end.other):
            if one not in self._ends:
                continue
            self._ends.discard(one)
            if self._selector.get_map().get(one.sock) is not None:
                self._selector.unregister(one.sock)
            if not (one.shut and one.read_end):
                one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            one.sock.close()
