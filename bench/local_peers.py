"""The peers of bench local: each carries streams from the source on loopback to the sink on loopback, by two proxies."""
from __future__ import annotations

import resource
from pathlib import Path
from typing import Sequence

import paths  # noqa: F401
import tunnels
from load import Load
from local_pair import BIN, LocalPair, Process, free_port, wait_until
from processes import cpu_seconds

FORWARDS = 11
REFERENCE = "bare TLS relay"


class Direct:
    """No proxy: what source, sink and kernel can do."""
    key, name = "direct", "direct"
    most_idle = 0  # Streams that it can hold open, as far as descriptors allow.
    descriptors_each = 2  # Of one proxy, for one stream.
    shows_idle_cost = False  # Whether one busy stream is measured beside thousands of idle ones, which takes a while to open.

    def __init__(self, load: Load, folder: Path):
        self.load, self.folder = load, folder
        self.ports: Sequence[int] = [load.port]
        self.processes: list[Process] = []  # Near end, far end.
        folder.mkdir()
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        pass

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(p.process.pid) for p in self.processes)

    def can_hold(self, streams: int) -> int:
        """So many idle streams, or up to 5 % less where the machine allows no more descriptors; 0 if that is not enough."""
        spare = 600  # stunnel keeps more than two per cent for itself.
        possible = min(streams, self.most_idle, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - spare) // self.descriptors_each)
        return possible if possible >= 0.95 * streams else 0

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop(seconds=5)


class PlainRelays(Direct):
    key, name = "plain", "bare relay, no TLS"
    options: Sequence[str] = ("--plain",)
    most_idle = 1000  # A thread and four buffers each: more pass the kernel's limit of mappings.

    def start(self) -> None:
        port = self.load.port
        for role in ("server", "client"):
            listen = free_port()
            command = [str(BIN / "bench-relay"), "--role", role, "--listen", str(listen), "--to", str(port), *self.options]
            self.processes.insert(0, Process(command, self.folder / f"{role}.log", "ready"))
            port = listen
        self.ports = [port]


class TlsRelays(PlainRelays):
    key, name, options = "bare", REFERENCE, ()


class Tunnelled(Direct):
    """By a program of tunnels.py."""
    kind = tunnels.Tunnel
    most_idle = 10_000

    def start(self) -> None:
        tunnel = self.kind(tunnels.Ends(self.folder, self.load.port))
        self.processes, self.ports = list(reversed(tunnel.processes)), [tunnel.port]


class Stunnel(Tunnelled):
    key, name, kind = "stunnel", tunnels.Stunnel.name, tunnels.Stunnel


class Haproxy(Tunnelled):
    key, name, kind = "haproxy", tunnels.Haproxy.name, tunnels.Haproxy
    shows_idle_cost = True


class HaproxyLarge(Tunnelled):
    key, name, kind = "haproxy128", tunnels.HaproxyLarge.name, tunnels.HaproxyLarge


class Nginx(Tunnelled):
    key, name, kind = "nginx", tunnels.Nginx.name, tunnels.Nginx


class Ssh(Tunnelled):
    key, name, kind = "ssh", tunnels.Ssh.name, tunnels.Ssh
    descriptors_each = 1


class Socat(Tunnelled):
    key, name, kind = "socat", tunnels.Socat.name, tunnels.Socat
    most_idle = 1000  # Two processes each.


class Pair(LocalPair):
    """As the demo's, without the line between, which is no match for the programs."""

    def start_new(self) -> None:
        port = free_port()
        self.command(BIN / "culvert-gateway", "init", "--data", self.gateway_dir, "--hostname", "localhost",
                     "--listen", f"127.0.0.1:{port}")
        self.start_gateway()
        self.provider("org", "add", "bench")
        joining_string = self.provider("join-token", "bench", "here").strip()
        self.command(BIN / "culvert-agent", "join", joining_string, "--data", self.agent_dir)
        self.start_agent()
        wait_until("a session between agent and gateway", lambda: self.status()["session"]["state"] == "up")


class Culvert(Direct):
    key, name = "culvert", "Culvert"
    most_idle = 10_000
    shows_idle_cost = True
    descriptors_each = 1

    def start(self) -> None:
        self.pair = Pair(self.folder)
        self.pair.start_new()
        self.processes = [self.pair.agent, self.pair.gateway]
        self.ports = []
        for i in range(FORWARDS):
            port = free_port()
            self.pair.provider("target", "add", "bench", f"sink-{i}", f"127.0.0.1:{self.load.port}")
            self.pair.customer("forward", "add", f"sink-{i}", "--port", port)
            self.ports.append(port)

    def stop(self) -> None:
        self.pair.stop()


KINDS = {kind.key: kind for kind in (Direct, PlainRelays, TlsRelays, Stunnel, Haproxy, HaproxyLarge, Nginx, Ssh, Socat, Culvert)}
