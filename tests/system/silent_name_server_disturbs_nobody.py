#!/usr/bin/env python3
"""Name servers that do not answer: streams to other names open at once, also of the same site and on the same thread, and
an agent whose own name server is gone with the line is back with the line. In a network and a mount namespace of its own,
with a name server on 127.0.0.1:53 that is silent for some names."""
import socket
import subprocess
import threading
import time
from pathlib import Path

from support.own_network import in_own_network
from support.scenario import QUICK_END, LocalPair, check, how_refused, main, wait_for_log
from support.tcp import Echo, echoes, source

FAST, GATEWAY = "fast.example.test", "gateway.example.test"
ADDRESSES = {FAST: "10.9.9.9", GATEWAY: "127.0.0.1"}  # A target's name must not lead to loopback.


class NameServer:
    """Answers A questions for ADDRESSES, AAAA ones with nothing, and all others never; none at all while `silent`."""

    def __init__(self) -> None:
        self.silent = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            address = ADDRESSES.get(".".join(labels))
            if self.silent or address is None:
                continue
            wants_ipv4 = question[at + 2] == 1
            head = question[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if wants_ipv4 else b"\x00\x00") + bytes(4)
            answer = b"\xc0\x0c\x00\x01\x00\x01" + bytes(4) + b"\x00\x04" + socket.inet_aton(address) if wants_ipv4 else b""
            self._socket.sendto(head + question[12:at + 5] + answer, asker)


def scenario(folder: Path) -> None:
    in_own_network("for a name server of its own")
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\n")
    for words in (["ip", "address", "add", f"{ADDRESSES[FAST]}/32", "dev", "lo"],
                  ["mount", "--bind", str(resolv), "/etc/resolv.conf"]):
        subprocess.run(words, check=True)
    names, echo, pair = NameServer(), Echo(ADDRESSES[FAST]), LocalPair(folder / "pair", GATEWAY)
    try:
        pair.start_new(settings={**QUICK_END, "#threads = 0": "threads = 1"})
        targets(pair, echo)
        no_route(pair)
        outage(pair, names, echo)
    finally:
        pair.stop()
        echo.close()


def forward(pair: LocalPair, name: str, address: str) -> int:
    pair.provider("target", "add", "demo", name, address)
    pair.customer("forward", "add", name)
    return next(f["port"] for f in pair.status()["forwards"] if f["name"] == name)


def targets(pair: LocalPair, echo: Echo) -> None:
    fast = forward(pair, "fast", f"{FAST}:{echo.port}")
    slow = [forward(pair, f"slow{i}", f"slow{i}.example.test:5432") for i in range(3)]
    waiting = [source(port) for port in slow for _ in range(3)]
    time.sleep(0.5)  # So that all lookups that never end are under way.
    began = time.monotonic()
    stream = source(fast)
    check("a stream opens beside nine whose names nobody answers", echoes(stream))
    took = time.monotonic() - began
    check(f"and it did not wait for them ({took:.2f} s)", took < 3)
    stream.close()
    for each in waiting:
        each.close()


def no_route(pair: LocalPair) -> None:
    port = forward(pair, "nowhere", "192.0.2.7:5432")
    check("a target without a route resets its source", how_refused(port) == "reset")
    line = wait_for_log(pair.gateway, "target=nowhere", "reason=target_unreachable")
    check(f"the gateway says what to look at: {line[-120:]}", "routes" in line)


def outage(pair: LocalPair, names: NameServer, echo: Echo) -> None:
    port = next(f["port"] for f in pair.status()["forwards"] if f["name"] == "fast")
    stream = source(port)
    check("a stream before the outage", echoes(stream))
    names.silent = True
    began = time.monotonic()
    pair.line.cut()
    pair.line.mend()
    check("a line that was cut and a silent name server: the stream goes on", echoes(stream))
    took = time.monotonic() - began
    check(f"by the address that was known ({took:.2f} s)", took < 3)
    stream.close()


main(scenario)
