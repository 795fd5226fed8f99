"""Many sites of one session each at one gateway, in bench local: as many culvert-agent processes, enrolled as sites are."""
from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paths  # noqa: F401
from load import Load
from local_pair import BIN, LocalPair, Process, free_port, wait_until
from processes import cpu_seconds, own_memory_kib

AT_ONCE = 4  # Sites that enrol at the same time.
FIRST_PORT = 21_000  # Below what the kernel gives to the many connections beside.


class Site:
    def __init__(self, gateway: "ManySites", number: int):
        self.gateway, self.number, self.port = gateway, number, FIRST_PORT + number
        self.folder = gateway.folder / f"site-{number}"
        self.config = self.folder / "agent.toml"

    def join(self) -> None:
        joining_string = self.gateway.provider("join-token", "bench", f"site-{self.number}").strip()
        LocalPair.command(BIN / "culvert-agent", "join", joining_string, "--data", self.folder)

    def start(self) -> Process:
        """From the thread that stays: a program ends with the thread that has started it."""
        return Process([str(BIN / "culvert-agent"), "run", "--config", str(self.config)],
                       self.gateway.folder / f"site-{self.number}.log", ready="ready", seconds=120)

    def forward(self) -> None:
        wait_until(f"the session of site {self.number}", self.is_up, seconds=120)
        self.customer("forward", "add", "sink", "--port", self.port)
        wait_until(f"the forward of site {self.number}", lambda: self.status()["forwards"][0]["state"] == "listening")

    def customer(self, *words: object) -> str:
        return LocalPair.command(BIN / "culvert-agent", *words, "--config", self.config)

    def status(self) -> dict:
        return json.loads(self.customer("status", "--json"))

    def is_up(self) -> bool:
        return self.status()["session"]["state"] == "up"


class ManySites:
    def __init__(self, load: Load, folder: Path, count: int):
        self.load, self.folder = load, folder
        self.config = folder / "gateway" / "gateway.toml"
        self.started: list[Process] = []
        folder.mkdir()
        LocalPair.command(BIN / "culvert-gateway", "init", "--data", folder / "gateway", "--hostname", "localhost",
                          "--listen", f"127.0.0.1:{free_port()}")
        self.gateway = Process([str(BIN / "culvert-gateway"), "run", "--config", str(self.config)], folder / "gateway.log",
                               ready="ready")
        try:
            self.provider("org", "add", "bench")
            self.provider("target", "add", "bench", "sink", f"127.0.0.1:{load.port}")
            self.sites = [Site(self, number) for number in range(count)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(Site.join, self.sites))
                for site in self.sites:
                    self.started.append(site.start())
                list(pool.map(Site.forward, self.sites))
        except BaseException:
            self.stop()
            raise

    def provider(self, *words: object) -> str:
        return LocalPair.command(BIN / "culvert-gateway", *words, "--config", self.config)

    def carry(self, sites: int, gib: float) -> dict:
        """One stream for each of so many sites, `gib` altogether."""
        ports, pid = [site.port for site in self.sites[:sites]], self.gateway.process.pid
        before = cpu_seconds(pid)
        told = self.load.run("throughput", ports, streams=sites, bytes=int(gib * 2**30 / sites))
        return {"gb_per_s": told["gb_per_s"], "gateway_cpu_s_per_gb": (cpu_seconds(pid) - before) / told["gb"]}

    def share(self, seconds: int) -> dict:
        """What each of all sites gets while none ends."""
        told = self.load.run("steady", [site.port for site in self.sites], streams=len(self.sites), seconds=seconds,
                             warm_up_ms=2000)
        return {"jain": told["jain"], "slowest_of_fastest": min(told["streams"]) / max(told["streams"])}

    def stop(self) -> None:
        """At once: two hundred orderly good-byes are not what is measured."""
        for process in [*self.started, self.gateway]:
            process.kill()


def measure(load: Load, folder: Path, count: int, rounds: int, gib: float, seconds: int) -> dict:
    sites = ManySites(load, folder, count)
    try:
        result = {"sites": count, "gateway_kib": own_memory_kib(sites.gateway.process.pid),
                  "agent_kib": own_memory_kib(sites.started[0].process.pid), "rounds": []}
        for number in range(rounds):
            order = [1, count] if number % 2 == 0 else [count, 1]
            carried = {("one" if n == 1 else "all"): sites.carry(n, gib) for n in order}
            result["rounds"].append({**carried, "share": sites.share(seconds)})
        return result
    finally:
        sites.stop()
