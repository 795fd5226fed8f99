"""Small TCP ends for scenarios: a target that echoes, one that never accepts, and a stream that is asked for its echo."""
import os
import socket
import threading


class Server:
    """Listens on a free port and serves each connection in a thread of its own, until close()."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # close() was called.
            self.accepted += 1
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near: socket.socket) -> None:
        """Closes `near` in the end."""
        raise NotImplementedError

    def close(self) -> None:
        self._listener.close()


class Echo(Server):
    """A target that sends back what comes, and half-closes after the source has."""

    def serve(self, near: socket.socket) -> None:
        try:
            while piece := near.recv(65536):
                near.sendall(piece)
            near.close()
        except OSError:
            near.close()


class DeafTarget:
    """A port whose queue is full: the kernel drops each SYN, as a host does that does not answer."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0):
        self._listener = socket.create_server((host, port), backlog=0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((host, self.port))
            self._fillers.append(filler)

    def close(self) -> None:
        for part in (*self._fillers, self._listener):
            part.close()


def source(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=20)


def echoes(stream: socket.socket, size: int = 100_000, seconds: float = 30) -> bool:
    """Random bytes come back as they were sent."""
    stream.settimeout(seconds)
    sent, back = os.urandom(size), bytearray()
    sender = threading.Thread(target=stream.sendall, args=(sent,), daemon=True)
    sender.start()
    while len(back) < size:
        piece = stream.recv(65536)
        if not piece:
            return False
        back += piece
    sender.join()
    return bytes(back) == sent
