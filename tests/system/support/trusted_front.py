"""A front that an agent cannot tell from its gateway: it has the gateway's key, and because it knows the session's secret
and the site's identity as well, it makes the proofs anew on both of its connections. So it can refuse one carrier, and a
lane still comes about by the other. Nobody who merely ends TLS could: docs/adr/0011."""
from __future__ import annotations

import hashlib
import hmac
import json
import re
import select
import socket
import ssl
import struct
import tempfile
from pathlib import Path

from support.tcp import Server
from support.tls_front import answer, key_of, read_message

SECONDS = 60  # Longer than anybody is silent here.


def shake_hands(context: ssl.SSLContext, sock: socket.socket, **more: object) -> tuple[ssl.SSLSocket, bytes]:
    """The connection and its exporter (docs/protocol.md §4), which Python's ssl does not give: it is worked out (RFC 8446
    §7.5) from what the context logs of its secrets."""
    with tempfile.NamedTemporaryFile("r") as secrets:
        context.keylog_filename = secrets.name
        tls = context.wrap_socket(sock, **more)
        secret = next(line.split()[2] for line in secrets if line.startswith("EXPORTER_SECRET "))
    name = "sha384" if tls.cipher()[0].endswith("SHA384") else "sha256"
    nothing = hashlib.new(name).digest()
    of_label = expand(name, bytes.fromhex(secret), b"EXPORTER-culvert-lane", nothing, len(nothing))
    return tls, expand(name, of_label, b"exporter", nothing, 32)


def expand(name: str, secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1) for no more than one digest."""
    label = b"tls13 " + label
    info = struct.pack(">HB", size, len(label)) + label + bytes([len(context)]) + context
    return hmac.digest(secret, info + b"\x01", name)[:size]


class TrustedFront(Server):
    """`refused` is the Upgrade that gets a 403 now, if any; `lanes` has those that came about, in their order."""

    def __init__(self, gateway_dir: Path, identity: Path, gateway_port: int):
        self._key, self._identity, self._gateway_port = key_of(gateway_dir), identity, gateway_port
        self._session, self._secret = b"", b""
        self.refused, self.lanes = "", []
        super().__init__()

    def serve(self, near: socket.socket) -> None:
        to_agent = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        to_agent.load_cert_chain(*self._key)
        to_agent.set_alpn_protocols(["culvert/1"])
        to_agent.num_tickets = 0  # docs/protocol.md §3.1
        to_gateway = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        to_gateway.check_hostname, to_gateway.verify_mode = False, ssl.CERT_NONE
        to_gateway.load_cert_chain(self._identity / "site.pem", self._identity / "site.key")
        to_gateway.set_alpn_protocols(["culvert/1"])
        for context in (to_agent, to_gateway):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            near.settimeout(SECONDS)
            agent, agents_exporter = shake_hands(to_agent, near, server_side=True)
            with agent:
                far = socket.create_connection(("127.0.0.1", self._gateway_port), SECONDS)
                gateway, gateways_exporter = shake_hands(to_gateway, far, server_hostname="localhost")
                with gateway:
                    self._serve(agent, agents_exporter, gateway, gateways_exporter)
        except OSError:
            pass  # A line that is cut.

    def _serve(self, agent: ssl.SSLSocket, agents_exporter: bytes, gateway: ssl.SSLSocket, gateways_exporter: bytes) -> None:
        while True:
            head, body = read_message(agent)
            if not head:
                return
            asked = re.search(rb"^Upgrade: (\S+)", head, re.MULTILINE)
            if asked and asked.group(1).decode() == self.refused:
                return agent.sendall(answer("403 Forbidden", "not like this"))
            gateway.sendall(self._prove(head, b"culvert/1 agent", gateways_exporter) + body)
            head, body = read_message(gateway)
            if not head:
                return
            if b'"session_secret"' in body:
                grant = json.loads(body)
                self._session, self._secret = bytes.fromhex(grant["session_id"]), bytes.fromhex(grant["session_secret"])
            is_lane = asked and head.startswith(b"HTTP/1.1 101 ")
            if is_lane:
                self.lanes.append(asked.group(1).decode())
            agent.sendall(self._prove(head, b"culvert/1 gateway", agents_exporter) + body)
            if is_lane:
                return carry(agent, gateway)

    def _prove(self, head: bytes, label: bytes, exporter: bytes) -> bytes:
        """The head with the proof of its HELLO, if it has one, for another connection."""
        found = re.search(rb"Culvert-Hello: ([0-9a-f]+)", head)
        if not found:
            return head
        hello = bytes.fromhex(found.group(1).decode())
        proof = hmac.digest(self._secret, label + exporter + self._session + hello[1:9], "sha256")
        return head[:found.start(1)] + (hello[:17] + proof + hello[49:]).hex().encode() + head[found.end(1):]


def carry(one: ssl.SSLSocket, other: ssl.SSLSocket) -> None:
    """Until either ends. Writing may wait, because neither end of a lane ever stops reading (docs/protocol.md §8.3)."""
    to = {one: other, other: one}
    while True:
        for end in [end for end in to if end.pending()] or select.select(list(to), [], [], SECONDS)[0]:
            piece = end.recv(65536)
            if not piece:
                return
            to[end].sendall(piece)
