#!/usr/bin/env python3
"""culvert-agent doctor on ways that answer and are faulty all the same, between two network namespaces: large segments that
get lost, a NAT that forgets idle connections, a portal that drops HTTPS, a target that vanishes; and what limits a busy
session: a slow target, a shaper, the processor, a limit of its own. A limit that is nobody's fault is a note and leaves the
exit code at 0."""
import json
import signal
import subprocess
import textwrap
import time
from pathlib import Path

from support.far_pair import FarPair
from support.scenario import BIN, check, main, wait_until
from support.two_hosts import ABSENT, FAR, NEAR, TwoHosts, command

PORT, TARGET = 10003, 7000
SINK = textwrap.dedent("""
    import socket, sys, time
    address, port, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    listener = socket.create_server((address, port))
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        try:
            while peer.recv(65536):
                time.sleep(pause)
        except OSError:
            pass
""")
SOURCE = textwrap.dedent("""
    import socket, sys
    stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    print("ready", flush=True)
    try:
        while True:
            stream.sendall(bytes(65536))
    except OSError:
        pass
""")
PORTAL = textwrap.dedent("""
    import http.server, sys
    class Portal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", sys.argv[2])
            self.end_headers()
    server = http.server.HTTPServer((sys.argv[1], 80), Portal)
    print("ready", flush=True)
    server.serve_forever()
""")
BUSY = "print('ready', flush=True)\nwhile True: pass"


def scenario(folder: Path) -> None:
    hosts = TwoHosts()
    try:
        with FarPair(hosts, folder) as pair:
            pair.healthy()
            prohibited(hosts, pair)
            absent(pair)
            portal(hosts, pair)
            segments(hosts, pair)
            idle(hosts, pair)
            frozen_gateway(pair)
            pair.start_agent()
            pair.healthy()
            vanishing_target(hosts, pair)
            limits(hosts, pair)
    finally:
        hosts.close()


def prohibited(hosts: TwoHosts, pair: FarPair) -> None:
    for words in ("admin-prohibited", "host-prohibited"):
        hosts.firewall(hosts.far, f"tcp dport 443 reject with icmp type {words}")
        pair.finds("port_prohibited", "a firewall on the way", f"administratively prohibited (ICMP from {FAR})")
    hosts.firewall(hosts.far, "tcp dport 443 reject with icmp type net-unreachable")
    pair.finds("no_route", "router or firewall", f"ICMP from {FAR}")
    hosts.no_firewall()


def absent(pair: FarPair) -> None:
    good = pair.agent_config.read_text()
    pair.agent_config.write_text(good.replace(f"https://{FAR}", f"https://{ABSENT}"))
    pair.finds("host_absent", f"nothing answers at {ABSENT}:443 in the local network")
    pair.agent_config.write_text(good)


def portal(hosts: TwoHosts, pair: FarPair) -> None:
    """On port 80, while 443 is dropped. A web server that leads to HTTPS of the same name is none."""
    hosts.firewall(hosts.far, "tcp dport 443 drop")
    for leads_to, finding in ((f"https://{FAR}/", "port_filtered"), ("http://login.hotel.example/", "captive_portal")):
        answers = pair.python(hosts.far, PORTAL, FAR, leads_to, name="portal")
        pair.finds(finding, "no answer within 2 s")
        answers.kill()
    hosts.no_firewall()


def segments(hosts: TwoHosts, pair: FarPair) -> None:
    hosts.firewall(hosts.near, "tcp sport 443 ip length > 1000 drop")
    pair.finds("mtu_hole", "small segments")
    hosts.no_firewall()
    hosts.firewall(hosts.far, "tcp dport 443 ip length > 1000 drop")
    pair.finds("mtu_hole", "segments of 536 bytes")
    hosts.no_firewall()
    pair.healthy()


def idle(hosts: TwoHosts, pair: FarPair) -> None:
    hosts.firewall(hosts.near, "ct state invalid drop", chain="output")
    command(*hosts.near, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0",
            "net.netfilter.nf_conntrack_tcp_timeout_established=2")
    pair.finds("idle_cut", "3.0 s", "1.5 s still did")
    hosts.no_firewall()
    pair.healthy()


def frozen_gateway(pair: FarPair) -> None:
    words = [*pair.hosts.near, str(BIN / "culvert-agent"), "doctor", "--json", "--config", str(pair.agent_config)]
    gateway = pair.gateway.process
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as doctor:
        for line in doctor.stderr:
            if "idle connections" in line:
                break
        time.sleep(0.8)  # The fault's own time: the connections that are to be idle stand, and none has been asked again.
        gateway.send_signal(signal.SIGSTOP)
        try:
            out, _ = doctor.communicate(timeout=30)
        finally:
            gateway.send_signal(signal.SIGCONT)
    found = [finding["id"] for finding in json.loads(out)["findings"]]
    # A slow machine may not yet have asked for the site when it froze.
    check("a gateway that freezes during the look is no NAT that forgets",
          found and found[0] == "gateway_fell_silent" and set(found[1:]) <= {"control_failed"}, out)
    pair.healthy()


def vanishing_target(hosts: TwoHosts, pair: FarPair) -> None:
    target = pair.python(hosts.near, SINK, NEAR, str(TARGET), "0", name="target")
    pair.forward("vanishing", f"{NEAR}:{TARGET}", PORT)
    command(*hosts.far, "sysctl", "-qw", "net.ipv4.tcp_retries2=3")
    source = pair.python(hosts.near, SOURCE, str(PORT), name="source")
    wait_until("bytes at the target", lambda: pair.status()["lanes"][0]["sent_bytes"] > 1_000_000)
    hosts.firewall(hosts.far, f"tcp sport {TARGET} drop")
    wait_until("the end of the stream", lambda: pair.status()["streams"]["open"] == 0)
    source.kill()
    pair.finds("target_half_open", "vanishing", "timed out")
    hosts.no_firewall()
    source = pair.python(hosts.near, SOURCE, str(PORT), name="source")
    wait_until("the target to be well again", lambda: pair.status()["forwards"][0]["target_trouble"] is None)
    source.kill()
    target.kill()
    pair.customer("forward", "remove", "vanishing")


def limits(hosts: TwoHosts, pair: FarPair) -> None:
    cable, sinks = ("dev", "cable"), {}
    for name, pause, port in (("quick", "0", 7001), ("slow", "0.1", 7002)):
        pair.forward(name, f"{FAR}:{port}", PORT + port - 7000)
        sinks[name] = pair.python(hosts.far, SINK, FAR, str(port), pause, name=name)

    def busy(port: int) -> subprocess.Popen:
        before = pair.status()["lanes"][0]["sent_bytes"]
        source = pair.python(hosts.near, SOURCE, str(port), name="source")
        wait_until("a busy session", lambda: pair.status()["lanes"][0]["sent_bytes"] > before + 500_000)
        return source

    source = busy(PORT + 2)
    wait_until("a full window", lambda: pair.status()["session"]["limited_by"] == "window")
    pair.finds("limited_by_target", "slower", note=True, looks=4)
    source.kill()
    sinks["slow"].kill()
    wait_until("the stream's end", lambda: pair.status()["streams"]["open"] == 0)

    command(*hosts.near, "tc", "qdisc", "add", *cable, "root", "tbf", "rate", "20mbit", "burst", "20k", "latency", "200ms")
    source = busy(PORT + 1)
    sent = pair.status()["lanes"][0]["sent_bytes"]
    wait_until("a steady flow", lambda: pair.status()["lanes"][0]["sent_bytes"] > sent + 5_000_000)
    pair.finds("limited_by_shaper", "Mbit/s", note=True, looks=4)
    command(*hosts.near, "tc", "qdisc", "del", *cable, "root")
    pair.customer("limit", "set", "--up", "10Mbit/s")
    wait_until("the limit at work", lambda: pair.status()["session"]["limited_by"] == "limit")
    pair.finds("limited_by_limit", "bandwidth limit", note=True, looks=4)
    pair.customer("limit", "set", "--up", "unlimited")
    source.kill()
    pair.stop_agent()

    loops = [pair.python(["taskset", "-c", "0"], BUSY, name=f"loop{i}") for i in range(5)]
    pair.start_agent("taskset", "-c", "0")
    source = busy(PORT + 1)
    pair.finds("limited_by_cpu", "waits for a processor", looks=4)
    for process in (source, *loops):
        process.kill()
    check("and the session is still up", pair.status()["session"]["state"] == "up")


main(scenario)
