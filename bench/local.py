#!/usr/bin/env python3
"""./dev bench local: Culvert beside a bare TLS 1.3 relay pair, stunnel, HAProxy, nginx, OpenSSH, socat, and no relay at all.

Everything in one run on loopback, with the same source and sink. The peers take turns within a round, and ratios are
formed within a round, so that what else the machine does hits all of them. bench/README.md says how to read it.
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Optional

import paths  # noqa: F401
import local_measures as measures
import many_sites
from load import Load
from local_peers import KINDS, Culvert, Direct
from local_pair import PairError
from local_report import bars, noise, sites_line, table, verdicts
from processes import machine, memory_kib, say  # noqa: F401  The other benches take them from here.
from results import write_results

ROWS = ("throughput", "roundtrip", "opens", "idle", "beside_idle", "sites", "peak")
DESCRIPTORS = 65_536  # 10,000 streams through a proxy that needs two for each.


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples (everything takes about 25 minutes on two idle cores, the first of these one):\n"
               "  ./dev bench local --peers bare culvert --rows throughput roundtrip --rounds 1 --gib 1\n"
               "  ./dev bench local --rounds 5 --json result.json --results bench/RESULTS.md")
    parser.add_argument("--peers", choices=list(KINDS), nargs="+", default=list(KINDS), help="default: all")
    parser.add_argument("--rows", choices=ROWS, nargs="+", default=list(ROWS), help="what to measure; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all peers (default 3)")
    parser.add_argument("--gib", type=float, default=2.0, help="GiB of each throughput measurement (default 2)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of each round trip and open measurement (default 2)")
    parser.add_argument("--idle-seconds", type=int, default=10, help="seconds of the CPU of idle streams (default 10)")
    parser.add_argument("--sites", type=int, default=200, help="sites at one gateway (default 200)")
    parser.add_argument("--large-gib", type=float, default=10.0, help="GiB of the transfer for peak memory (default 10)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--results", type=Path, help="write table and bars there, as bench/RESULTS.md has them")
    return parser.parse_args()


class Run:
    def __init__(self, arguments: argparse.Namespace, folder: Path):
        self.arguments, self.folder, self.rows = arguments, folder, arguments.rows
        self.load, self.began = Load(folder), time.monotonic()
        kinds = [KINDS[key] for key in KINDS if key in arguments.peers]
        self.kinds = kinds
        told = {name: value for name, value in vars(arguments).items() if name not in ("json", "results")}
        self.result: dict = {"machine": machine(), "peers": [kind.name for kind in kinds], "rounds": [],
                             "load": [os.getloadavg()[0]], "broken": [], "arguments": told}

    def say(self, text: str) -> None:
        say(f"{time.monotonic() - self.began:5.0f} s  {text}")

    def try_peer(self, peer: type[Direct] | Direct, what: str, measure: Callable[[], Optional[dict]]) -> dict:
        """A peer of others that breaks loses its figure; ours breaks the run."""
        try:
            return measure() or {}
        except PairError as error:
            if peer.name == Culvert.name:
                raise
            self.say(f"{peer.name}: {what} failed: {error}")
            self.result["broken"].append(f"{peer.name}: {what}: {error}")
            return {}

    def measure_idle(self) -> None:
        self.result["idle"] = {}
        for number, kind in enumerate(kind for kind in self.kinds if kind.most_idle):
            self.say(f"idle streams: {kind.name}")
            peer = kind(self.load, self.folder / f"idle-{number}")
            try:
                found = self.result["idle"].setdefault(kind.name, {})
                self.try_peer(kind, "idle streams", lambda: measures.idle(self.load, peer, self.arguments.idle_seconds, found))
            finally:
                peer.stop()

    def steps(self) -> list[tuple[str, Callable[[Direct], dict]]]:
        """(key, measurement) of a round."""
        load, gib, seconds = self.load, self.arguments.gib, self.arguments.seconds
        found: list[tuple[str, Callable[[Direct], dict]]] = []
        if "throughput" in self.rows:
            found += [(f"streams_{n}", lambda peer, n=n: measures.throughput(load, peer, n, gib)) for n in measures.STREAMS]
        if "roundtrip" in self.rows:
            found += [(beside, lambda peer, beside=beside: measures.round_trip(load, peer, seconds, beside))
                      for beside in ("alone", "held", "bulk")]
        if "opens" in self.rows:
            found += [(f"opens_{n}", lambda peer, n=n: load.run("opens", peer.ports[:1], seconds=seconds, streams=n))
                      for n in measures.OPENERS]
        if "beside_idle" in self.rows:
            found.append(("beside_idle", lambda peer: measures.busy_beside_idle(load, peer, gib)))
        return found

    def measure_round(self, peers: list[Direct]) -> dict:
        round_: dict = {peer.name: {} for peer in peers}
        for key, measure in self.steps():
            self.say(f"  {key}")
            for peer in peers:
                if key == "beside_idle" and not (peer.shows_idle_cost and peer.can_hold(measures.BUSY_BESIDE)):
                    continue
                round_[peer.name][key] = self.try_peer(peer, key, lambda: measure(peer))
        return round_

    def measure_rounds(self) -> None:
        peers: list[Direct] = []
        try:
            peers += [kind(self.load, self.folder / kind.key) for kind in self.kinds]
            for number in range(self.arguments.rounds):
                self.say(f"round {number + 1} of {self.arguments.rounds}")
                turn = number % len(peers)
                self.result["rounds"].append(self.measure_round(peers[turn:] + peers[:turn]))
                self.result["load"].append(os.getloadavg()[0])
            if "peak" in self.rows and Culvert in self.kinds:
                self.say(f"{self.arguments.large_gib:g} GiB through Culvert")
                ours = next(peer for peer in peers if isinstance(peer, Culvert))
                self.result["peak"] = measures.peak(self.load, ours, self.arguments.large_gib)
        finally:
            for peer in reversed(peers):
                peer.stop()

    def measure(self) -> dict:
        try:
            if "idle" in self.rows:
                self.measure_idle()
            self.measure_rounds()
            if "sites" in self.rows and Culvert in self.kinds:
                self.say(f"{self.arguments.sites} sites at one gateway")
                self.result["sites"] = many_sites.measure(self.load, self.folder / "sites", self.arguments.sites,
                                                          self.arguments.rounds, self.arguments.gib, 5)
        finally:
            self.load.stop()
        return self.result


def raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, DESCRIPTORS), max(hard, DESCRIPTORS)))
    except (ValueError, OSError):
        say(f"only {hard} open files are allowed here: a proxy that needs two for each stream gets less than 10,000 idle ones")


def main() -> int:
    arguments = parse_arguments()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="culvert-bench-", ignore_cleanup_errors=True) as folder:
        result = Run(arguments, Path(folder)).measure()
    result["bars"] = bars(result)
    print("\n" + table(result))
    if "sites" in result:
        print("\n" + sites_line(result))
    print("\n" + verdicts(result))
    for what in result["broken"]:
        print(f"broke   {what}")
    print(noise(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.results:
        write_results(arguments.results, result)
    return 0 if all(is_met for *_, is_met in result["bars"]) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except PairError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
