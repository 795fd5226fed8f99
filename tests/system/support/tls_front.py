"""A TLS server with the gateway's own key and certificate: what a front of the provider's sees, or someone in between
who ends TLS. Answers one HTTP request on each connection."""
from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path
from typing import Callable, NamedTuple

from support.tcp import Server


class Seen(NamedTuple):
    head: str
    body: bytes
    alpn: str
    wire_bytes: int  # Of head and body, before TLS.

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}: (.*?)\r$", self.head, re.MULTILINE | re.IGNORECASE)
        return found.group(1) if found else ""

    @property
    def first_line(self) -> str:
        return self.head.split("\r\n", 1)[0]


Answer = Callable[[Seen], bytes]


def answer(status: str, body: str = "", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def key_of(gateway_dir: Path) -> tuple[Path, Path]:
    """Certificate and key of a gateway."""
    found = {file.suffix: file for file in gateway_dir.rglob("server.*")}
    return found[".pem"], found[".key"]


def read_message(tls: ssl.SSLSocket) -> tuple[bytes, bytes]:
    """Head with its empty line, and what came behind it, as much as it announced at least. Nothing at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = tls.recv(65536)
        if not piece:
            return b"", b""
        data += piece
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length.group(1)):
        piece = tls.recv(65536)
        if not piece:
            return b"", b""
        body += piece
    return head + end, body


class TlsFront(Server):
    def __init__(self, certificate: Path, key: Path, handler: Answer):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(["culvert/1", "http/1.1"])
        self._handler = handler
        self.seen: list[Seen] = []
        super().__init__()

    def serve(self, near: socket.socket) -> None:
        try:
            near.settimeout(20)
            with self._context.wrap_socket(near, server_side=True) as tls:
                head, body = read_message(tls)
                if not head:
                    return
                seen = Seen(head[:-2].decode(), body, tls.selected_alpn_protocol() or "", len(head) + len(body))
                self.seen.append(seen)
                tls.sendall(self._handler(seen))
                tls.unwrap()
        except (OSError, ssl.SSLError):
            pass
