#!/usr/bin/env python3
"""./dev bench guard: has Culvert become slower or larger than bench/guard.json expects? A few minutes.

Figures are ratios against the bare TLS relay of the same rounds, so that they hold on other machines; idle memory is
absolute. Ends with 1 when one is worse than expected by more than its margin.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import paths  # noqa: F401
import local_measures as measures
from load import Load
from local_peers import Culvert, TlsRelays
from local_pair import PairError
from processes import machine, say

EXPECTATION = Path(__file__).resolve().parent / "guard.json"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="example: ./dev bench guard --rounds 5")
    parser.add_argument("--rounds", type=int, default=5, help="whose medians count (default 5)")
    parser.add_argument("--gib", type=float, default=2.0, help="GiB of each throughput measurement (default 2)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of each round trip and open measurement (default 2)")
    parser.add_argument("--update", action="store_true", help="make what is measured the expectation, on an idle machine only")
    return parser.parse_args()


def measure_round(load: Load, peers: list, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {peer.key: {} for peer in peers}
    for streams in measures.STREAMS:
        for peer in peers:
            told = measures.throughput(load, peer, streams, arguments.gib)
            found[peer.key][f"cpu_s_per_gb_{streams}"] = told["cpu_s_per_gb"]
            found[peer.key][f"gb_per_s_{streams}"] = told["gb_per_s"]
    for peer in peers:
        found[peer.key]["p50_us"] = measures.round_trip(load, peer, arguments.seconds)["p50_us"]
    for openers in measures.OPENERS:
        for peer in peers:
            told = load.run("opens", peer.ports[:1], seconds=arguments.seconds, streams=openers)
            found[peer.key][f"opens_per_s_{openers}"] = told["opens_per_s"]
    return found


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    load, peers, ratios = Load(folder), [], []
    try:
        peers.append(Culvert(load, folder / "culvert"))
        say("idle streams")
        idle: dict = {}
        measures.idle(load, peers[0], 1, idle, counts=measures.IDLE[:1])
        peers.append(TlsRelays(load, folder / "bare"))
        for number in range(arguments.rounds):
            say(f"round {number + 1} of {arguments.rounds}")
            told = measure_round(load, peers[::-1] if number % 2 else peers, arguments)
            ratios.append({key: value / told[TlsRelays.key][key] for key, value in told[Culvert.key].items()})
    finally:
        for peer in reversed(peers):
            peer.stop()
        load.stop()
    found = {key: statistics.median(ratio[key] for ratio in ratios) for key in ratios[0]}
    found["idle_kib_per_stream"] = idle["kib_per_stream"][str(measures.IDLE[0])]
    return found


def judge(found: dict[str, float], expected: dict[str, dict]) -> bool:
    met = True
    print(f"{'of the bare TLS relay':<24}{'measured':>10}{'expected':>10}{'margin':>9}")
    for key, rule in expected.items():
        worse = (found[key] / rule["expected"] - 1) * (1 if rule["better"] == "lower" else -1)
        verdict = "WORSE" if worse > rule["margin"] else "better" if worse < -rule["margin"] else "as expected"
        met = met and worse <= rule["margin"]
        print(f"{key:<24}{found[key]:>10.3f}{rule['expected']:>10.3f}{rule['margin'] * 100:>7.0f} %  {verdict}")
    return met


def main() -> int:
    arguments = parse_arguments()
    told = json.loads(EXPECTATION.read_text())
    if os.getloadavg()[0] > 0.5:
        say(f"this machine is busy (load average {os.getloadavg()[0]:.1f}): only CPU-s/GB and memory say much")
    with tempfile.TemporaryDirectory(prefix="culvert-bench-", ignore_cleanup_errors=True) as folder:
        found = measure(arguments, Path(folder))
    met = judge(found, told["figures"])
    if arguments.update:
        for key, rule in told["figures"].items():
            rule["expected"] = round(found[key], 3)
        told["measured_on"] = {key: value for key, value in machine().items() if key != "versions"}
        EXPECTATION.write_text(json.dumps(told, indent=2) + "\n")
        return 0
    return 0 if met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PairError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
