"""What carries streams over the emulated line in bench wan and bench fair: Culvert and those it stands beside.

Each peer has `to`, where a source at the near end connects, and ends at the sink on the far end's loopback (plain TCP:
at the sink itself, over the line). All are started anew for every line: nothing learned on another one helps.
"""
from __future__ import annotations

import itertools
import json
import re
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Iterable, Optional

import paths  # noqa: F401
import tunnels
from honesty import Honesty, check_line, line_load
from load import Load
from local_pair import BIN, LocalPair, PairError, Process, wait_until
from wan_line import FAR, NO_BBR, LineShape, WanLine

GATEWAY_PORT = 443  # Of the far end, which has no other services.
NEAR_PORT = 6000  # The near end's, in its own namespace as well.
TUNNEL_PORTS = itertools.count(7441)  # Of other programs, at either end; none is taken twice.


def prove_line(line: WanLine, folder: Path, quick: bool = False, shapes: Iterable[LineShape] = ()) -> Honesty:
    """Plain TCP against theory, at rates and RTTs of a table's `shapes` as well; what it finds, or that nobody looked, stands
    above every table."""
    if quick:
        print("line not checked against theory (--quick)", flush=True)
        return Honesty(["not checked"])
    load = line_load(line, folder)
    try:
        honesty = check_line(line, load, shapes=shapes)
    finally:
        load.stop()
    print(honesty.line(), flush=True)
    return honesty


class Plain:
    name = "plain TCP"

    def __init__(self, line: WanLine, load: Load, folder: Path):
        self.line, self.load, self.folder = line, load, folder
        self.to, self.processes = f"{FAR}:{load.port}", []
        folder.mkdir()
        self.start()

    def start(self) -> None:
        pass

    def lanes(self) -> int:
        return 1

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop(seconds=5)


class Tunnelled(Plain):
    """By a program of tunnels.py."""
    kind = tunnels.Tunnel

    def start(self) -> None:
        tunnel = self.kind(tunnels.Ends(self.folder, self.load.port, self.line.near, self.line.far, FAR, "0.0.0.0",
                                        TUNNEL_PORTS.__next__))
        self.to, self.processes = f"127.0.0.1:{tunnel.port}", tunnel.processes


class Ssh(Tunnelled):
    name, kind = "OpenSSH -L", tunnels.Ssh


class Stunnel(Tunnelled):
    name, kind = "stunnel", tunnels.Stunnel


class Haproxy(Tunnelled):
    name, kind = "HAProxy", tunnels.Haproxy


class Agent:
    """One enrolled site at the near end, with one forward."""

    def __init__(self, gateway: "Gateway", number: int):
        self.number, self.folder, self.line = number, gateway.folder / f"agent-{number}", gateway.line
        self.config = self.folder / "agent.toml"
        joining_string = gateway.admin("join-token", "bench", f"site-{number}").strip()
        LocalPair.command(*self.line.near, BIN / "culvert-agent", "join", joining_string, "--data", self.folder)
        self.process = Process([*self.line.near, *gateway.words, str(BIN / "culvert-agent"), "run", "--config", str(self.config)],
                               gateway.folder / f"agent-{number}.log", ready="ready")
        try:
            wait_until("a session between agent and gateway", lambda: self.status()["session"]["state"] == "up")
        except BaseException:
            self.process.stop()
            raise

    def forward(self, name: str, port: int) -> None:
        self.admin("forward", "add", name, "--port", port)

    def admin(self, *words: object) -> str:
        return LocalPair.command(BIN / "culvert-agent", *words, "--config", self.config)

    def status(self) -> dict:
        return json.loads(self.admin("status", "--json"))

    def lanes_up(self) -> list[dict]:
        return [lane for lane in self.status()["lanes"] if lane["state"] == "up"]


class Gateway:
    """A gateway at the far end and its agents at the near one."""

    def __init__(self, line: WanLine, folder: Path, bbr: bool, agents: int = 1):
        self.line, self.folder, self.words = line, folder, [] if bbr else NO_BBR
        self.config, self.agents = folder / "gateway" / "gateway.toml", []
        LocalPair.command(BIN / "culvert-gateway", "init", "--data", folder / "gateway", "--hostname", FAR,
                          "--listen", f"0.0.0.0:{GATEWAY_PORT}")
        self.process = Process([*line.far, *self.words, str(BIN / "culvert-gateway"), "run", "--config", str(self.config)],
                               folder / "gateway.log", ready="ready")
        try:
            self.admin("org", "add", "bench")
            for number in range(agents):
                self.agents.append(Agent(self, number))
        except BaseException:
            self.stop()
            raise

    def admin(self, *words: object) -> str:
        return LocalPair.command(BIN / "culvert-gateway", *words, "--config", self.config)

    def stop(self) -> None:
        for agent in self.agents:
            agent.process.kill()
        self.process.kill()


class Culvert(Plain):
    name = "Culvert"

    def start(self) -> None:
        self.congestion = self.line.kernel["net.ipv4.tcp_congestion_control"]
        self.gateway = Gateway(self.line, self.folder, bbr=self.congestion == "bbr")
        self.agent = self.gateway.agents[0]
        self.processes = [self.gateway.process, self.agent.process]
        self.gateway.admin("target", "add", "bench", "sink", f"127.0.0.1:{self.load.port}")
        self.agent.forward("sink", NEAR_PORT + 3)
        self.to = f"127.0.0.1:{NEAR_PORT + 3}"

    def check_congestion(self) -> None:
        """A figure on BBR must not stand in a table that says CUBIC: looks at the lane that sent most; others may
        carry no bulk, and are on CUBIC then."""
        told = LocalPair.command(*self.line.near, "ss", "-tinHO", "state", "established", "dst", f"{FAR}:{GATEWAY_PORT}")
        sent = {int(found[2]): found[1] for found in re.finditer(r" (cubic|bbr|reno) .*?bytes_sent:(\d+)", told)}
        most = max(sent, default=0)
        if most > 2**20 and sent[most] != self.congestion:
            raise PairError(f"Culvert's bulk goes by {sent[most]}, not by {self.congestion}")

    def lanes(self) -> int:
        """Called every second of a measurement."""
        self.check_congestion()
        return len(self.agent.lanes_up())

    def stop(self) -> None:
        self.gateway.stop()


PEERS = {"plain": Plain, "ssh": Ssh, "stunnel": Stunnel, "haproxy": Haproxy, "culvert": Culvert}


class Sampler:
    """Calls `sample` every `period` seconds while a measurement runs, and keeps when (CLOCK_MONOTONIC, us)."""

    def __init__(self, sample: Callable[[], float], period: float = 1):
        self._sample, self._period, self._over = sample, period, threading.Event()
        self._values: list[tuple[float, float]] = []
        self._error: Optional[Exception] = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._over.wait(self._period):
                value = self._sample()
                self._values.append((time.monotonic_ns() / 1e3, value))
        except (PairError, OSError, subprocess.SubprocessError) as error:
            self._error = error

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _kept(self, from_us: float = 0, to_us: float = float("inf")) -> list[tuple[float, float]]:
        if self._error is not None:
            raise PairError(f"a sample failed: {self._error}")
        kept = [(at, value) for at, value in self._values if from_us <= at <= to_us]
        if not kept:
            raise PairError("a measurement was too short for a sample")
        return kept

    def mean(self, from_us: float, to_us: float) -> float:
        return statistics.mean(value for _, value in self._kept(from_us, to_us))

    def rate(self, from_us: float, to_us: float) -> float:
        """Growth a second of a value that only grows."""
        kept = self._kept(from_us, to_us)
        if len(kept) < 2:
            raise PairError("a measurement was too short for a rate")
        return (kept[-1][1] - kept[0][1]) / (kept[-1][0] - kept[0][0]) * 1e6

    def most(self) -> float:
        return max(value for _, value in self._kept())
