"""A peer written against docs/protocol.md alone, to say what our agent never says. Python's ssl has no exporter of keying
material, so this speaks to the system's libssl through ctypes. It does not check the gateway's certificate."""
from __future__ import annotations

import ctypes
import ctypes.util
import hmac
import json
import os
import socket
import struct
from pathlib import Path
from typing import Callable, Optional, Union

DATA, OPEN, OPENED, RESET, ACK, RETURN, RECEIPT, PING, PONG, DRAIN, SESSION_END, LANE_CLOSE = range(1, 13)
HEADER = struct.Struct(">BBHIQ")
_CTRL_SET_HOST, _FILETYPE_PEM, _ERROR_ZERO_RETURN = 55, 1, 6


def _library() -> ctypes.CDLL:
    lib = ctypes.CDLL(ctypes.util.find_library("ssl") or "libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.SSL_CTX_new.argtypes = lib.SSL_new.argtypes = [ctypes.c_void_p]
    lib.SSL_CTX_use_certificate_chain_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    lib.SSL_CTX_use_PrivateKey_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    lib.SSL_set_alpn_protos.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint]
    lib.SSL_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
    lib.SSL_set_fd.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.SSL_connect.argtypes = lib.SSL_free.argtypes = lib.SSL_shutdown.argtypes = [ctypes.c_void_p]
    lib.SSL_CTX_free.argtypes = [ctypes.c_void_p]
    lib.SSL_read.argtypes = lib.SSL_write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    lib.SSL_export_keying_material.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                               ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    return lib


class Tls:
    """One blocking TLS connection with the site's certificate and ALPN culvert/1: docs/protocol.md §3.1."""

    def __init__(self, port: int, identity: Path, seconds: float = 20):
        self._lib = _library()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setblocking(True)
        limit = struct.pack("ll", int(seconds), 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._context = self._lib.SSL_CTX_new(self._lib.TLS_client_method())
        assert self._lib.SSL_CTX_use_certificate_chain_file(self._context, bytes(identity / "site.pem")) == 1
        assert self._lib.SSL_CTX_use_PrivateKey_file(self._context, bytes(identity / "site.key"), _FILETYPE_PEM) == 1
        self._ssl = self._lib.SSL_new(self._context)
        self._lib.SSL_set_alpn_protos(self._ssl, b"\x09culvert/1", 10)
        self._lib.SSL_ctrl(self._ssl, _CTRL_SET_HOST, 0, b"localhost")
        self._lib.SSL_set_fd(self._ssl, self.socket.fileno())
        if self._lib.SSL_connect(self._ssl) != 1:
            raise ConnectionError("the TLS handshake failed")

    def exporter(self) -> bytes:
        """docs/protocol.md §4."""
        out, label = ctypes.create_string_buffer(32), b"EXPORTER-culvert-lane"
        assert self._lib.SSL_export_keying_material(self._ssl, out, 32, label, len(label), b"", 0, 1) == 1
        return out.raw

    def send(self, data: bytes) -> None:
        """Every call is one record or more."""
        if self._lib.SSL_write(self._ssl, data, len(data)) != len(data):
            raise ConnectionError("the gateway does not take more")

    def receive(self) -> bytes:
        """What came; empty when the connection ended or nothing came in time."""
        buffer = ctypes.create_string_buffer(65536)
        n = self._lib.SSL_read(self._ssl, buffer, len(buffer))
        return buffer.raw[:n] if n > 0 else b""

    def close(self) -> None:
        self._lib.SSL_free(self._ssl)
        self._lib.SSL_CTX_free(self._context)
        self.socket.close()


def frame(kind: int, stream: int = 0, offset: int = 0, payload: bytes = b"", flags: int = 0,
          length: Optional[int] = None) -> bytes:
    """docs/protocol.md §5.1; `length` lies about the payload."""
    return HEADER.pack(kind, flags, len(payload) if length is None else length, stream, offset) + payload


def tlv(kind: int, value: bytes) -> bytes:
    """docs/protocol.md §11."""
    return struct.pack(">HH", kind, len(value)) + value


def open_frame(stream: int, target: str) -> bytes:
    """docs/protocol.md §6.2."""
    return frame(OPEN, stream, 0, tlv(1, target.encode()) + tlv(2, b"192.0.2.7:51234"))


def http(tls: Tls, method: str, path: str, body: bytes = b"", more: str = "") -> tuple[int, dict, bytes]:
    """Status, header names in lower case, body; of a 101 the body is what followed it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    tls.send(head.encode() + b"\r\n" + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = tls.receive()
        if not piece:
            raise ConnectionError(f"no answer to {method} {path}: {answer!r}")
        answer += piece
    top, _, rest = answer.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:]}
    while len(rest) < int(headers.get("content-length", "0")):
        rest += tls.receive()
    return int(lines[0].split()[1]), headers, rest


class HandMadePeer:
    """A session of the site whose identity is in `identity`, with one lane at a time."""

    def __init__(self, port: int, identity: Path):
        self.port, self.identity, self.epoch = port, identity, 0
        control = Tls(port, identity)
        wish = {"instance_id": os.urandom(16).hex(), "agent_version": "0", "host_name": "hand-made",
                "replay_memory_bytes": 1 << 24}
        status, _, body = http(control, "POST", "/tunnel/v1/sessions", json.dumps(wish).encode())
        control.close()
        if status != 201:
            raise ConnectionError(f"no session: {status} {body!r}")
        self.grant = grant = json.loads(body)
        self.session, self.secret = bytes.fromhex(grant["session_id"]), bytes.fromhex(grant["session_secret"])
        self.lane: Optional[Tls] = None
        self.refusal: tuple[dict, dict] = ({}, {})  # Headers and body of the last ask_lane() that was refused.
        self._bytes = b""

    def proof(self, tls: Tls, label: bytes, epoch: int, lane: int) -> bytes:
        text = label + tls.exporter() + self.session + struct.pack(">II", epoch, lane)
        return hmac.digest(self.secret, text, "sha256")

    def hello(self, tls: Tls, epoch: int, lane: int) -> bytes:
        """docs/protocol.md §4."""
        return struct.pack(">BIIQ", 1, epoch, lane, 1 << 24) + self.proof(tls, b"culvert/1 agent", epoch, lane)

    def ask_lane(self, hello: Union[bytes, Callable[[Tls], bytes], None] = None, behind: bytes = b"",
                 epoch: Optional[int] = None, lane: int = 1) -> int:
        """docs/protocol.md §3.1. The HTTP status; after 101 `lane` is open. `hello` is sent instead of the right one, and may
        be made for the very connection. `behind` is sent together with the request, which is forbidden."""
        tls = Tls(self.port, self.identity)
        epoch = self.epoch + 1 if epoch is None else epoch
        hello = self.hello(tls, epoch, lane) if hello is None else hello(tls) if callable(hello) else hello
        more = f"Connection: Upgrade\r\nUpgrade: culvert/1\r\nCulvert-Hello: {hello.hex()}\r\n"
        path = f"/tunnel/v1/sessions/{self.session.hex()}/lanes"
        if behind:
            tls.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode() + behind)
            first = tls.receive()
            tls.close()
            return int(first.split()[1]) if first else 0
        status, headers, rest = http(tls, "GET", path, more=more)
        if status != 101:
            tls.close()
            self.refusal = headers, json.loads(rest)
            return status
        answer = bytes.fromhex(headers["culvert-hello"])
        if not hmac.compare_digest(answer[17:49], self.proof(tls, b"culvert/1 gateway", epoch, lane)):
            raise ConnectionError("the gateway's proof is wrong")
        self.epoch, self.lane, self._bytes = epoch, tls, rest
        return status

    def send(self, *frames: bytes) -> None:
        self.lane.send(b"".join(frames))

    def next_frame(self) -> Optional[tuple[int, int, int, int, bytes]]:
        """Type, flags, stream, offset, payload; None when the lane ended. PINGs are answered on the way."""
        while True:
            if len(self._bytes) >= HEADER.size:
                kind, flags, length, stream, offset = HEADER.unpack(self._bytes[:HEADER.size])
                if len(self._bytes) >= HEADER.size + length:
                    payload = self._bytes[HEADER.size:HEADER.size + length]
                    self._bytes = self._bytes[HEADER.size + length:]
                    if kind != PING:
                        return kind, flags, stream, offset, payload
                    self.send(frame(PONG, 0, offset))
                    continue
            piece = self.lane.receive()
            if not piece:
                return None
            self._bytes += piece

    def wait_for(self, *kinds: int) -> Optional[tuple[int, int, int, int, bytes]]:
        """The next frame of one of the kinds, or SESSION_END, or None at the end of the lane."""
        while (got := self.next_frame()) is not None:
            if got[0] in kinds or got[0] == SESSION_END:
                return got
        return None

    def close(self) -> None:
        if self.lane is not None:
            self.lane.close()
            self.lane = None
