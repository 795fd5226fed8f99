#!/usr/bin/env python3
"""./dev bench wan: long streams over an emulated long line, Culvert beside plain TCP, OpenSSH, stunnel and HAProxy.

All in one run over the same line, which is checked against theory first. bench/README.md says how to read it.
"""
from __future__ import annotations

import argparse
import itertools
import json
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from wan_peers import PEERS, Culvert, PairError, Plain, Sampler, prove_line
from honesty import BUFFERS, line_load
from local import machine, say
from wan_line import FAR, LineShape, WanLine

# (RTT ms, loss, Mbit/s, congestion control): what fits into ten minutes and shows every kind of cell.
SHORT = [(80, 0, 400, "cubic"), (80, 0.001, 400, "cubic"), (20, 0.01, 100, "cubic"), (80, 0.001, 400, "bbr")]
RTTS, LOSSES, RATES, CONGESTIONS = (20, 80, 200), (0, 0.001, 0.01), (100, 400), ("cubic", "bbr")
BARS = {"of_link": 0.9, "of_plain_times_lanes": 0.9, "never_below_plain": 0.97, "most_lanes": 32, "runs": 5, "seconds": 30,
        "warm_up": 30}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog="example: ./dev bench wan --rtt 80 --loss 0.1 --rate 400 --congestion cubic --runs 5")
    parser.add_argument("--full", action="store_true",
                        help=f"all 36 cells, those with loss {BARS['runs']} times {BARS['seconds']} s: what the bars want; "
                        "about 23 hours")
    parser.add_argument("--rtt", type=float, nargs="+", help="ms; any of the four chooses all cells that fit (default: a few)")
    parser.add_argument("--loss", type=float, nargs="+", help="per cent of the packets, each way")
    parser.add_argument("--rate", type=float, nargs="+", help="Mbit/s")
    parser.add_argument("--congestion", choices=CONGESTIONS, nargs="+")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 11])
    parser.add_argument("--peers", choices=list(PEERS), nargs="+", default=list(PEERS))
    parser.add_argument("--runs", type=int, help="of cells with loss; their median counts (default 1, with --full 5)")
    parser.add_argument("--seconds", type=int, help="measured in each run (default 5, with --full 30)")
    parser.add_argument("--warm-up", type=float, help="seconds before, or 20 RTT if that is more (default 4, with --full 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the losses (default 1)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    arguments.runs = arguments.runs or (BARS["runs"] if arguments.full else 1)
    arguments.seconds = arguments.seconds or (BARS["seconds"] if arguments.full else 5)
    arguments.warm_up = arguments.warm_up or (BARS["warm_up"] if arguments.full else 4)
    return arguments


def chosen_cells(arguments: argparse.Namespace) -> list[LineShape]:
    chosen = (arguments.rtt, arguments.loss, arguments.rate, arguments.congestion)
    if not arguments.full and not any(chosen):
        cells = SHORT
    else:
        losses = [loss / 100 for loss in arguments.loss] if arguments.loss else LOSSES
        cells = itertools.product(arguments.rtt or RTTS, losses, arguments.rate or RATES, arguments.congestion or CONGESTIONS)
    return [LineShape(rtt_ms=rtt, rate_mbit=rate, loss=loss, congestion=congestion) for rtt, loss, rate, congestion in cells]


def measure_one(load, peer: Plain, shape: LineShape, streams: int, arguments: argparse.Namespace) -> dict:
    warm_up_ms = max(int(arguments.warm_up * 1000), int(20 * shape.rtt_ms))
    carried = Sampler(lambda: peer.line.stats()["up"]["bytes"], period=0.2)
    with Sampler(peer.lanes) as lanes, carried:
        result = load.run("steady", [peer.to], streams=streams, seconds=arguments.seconds, warm_up_ms=warm_up_ms)
    window = (result["from_us"], result["to_us"])
    # The sink can be given within the window what crossed the line before it and waited for a lost packet.
    result["sink_mbit_per_s"], result["wire_mbit_per_s"] = result["mbit_per_s"], carried.rate(*window) * 8 / 1e6
    result["mbit_per_s"] = min(result["sink_mbit_per_s"], result["wire_mbit_per_s"])
    result["lanes"] = lanes.mean(*window) if isinstance(peer, Culvert) else streams
    if isinstance(peer, Culvert):
        peer.check_congestion()
    return result


def measure_cell(line: WanLine, shape: LineShape, arguments: argparse.Namespace) -> dict:
    """All peers take turns, in another order every run, for the losses of one run are not those of the next."""
    runs = arguments.runs if shape.loss else 1
    cell = {"shape": vars(shape), "queue_bytes": shape.queue_bytes(), "runs": []}
    line.shape(shape)
    with tempfile.TemporaryDirectory(prefix="culvert-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        load = line_load(line, folder)
        peers = []
        try:
            for key in arguments.peers:
                peers.append(PEERS[key](line, load, folder / key))
            for number in range(runs):
                say(f"{shape}: run {number + 1} of {runs}")
                turn = number % len(peers)
                run = {}
                for streams in arguments.streams:
                    for peer in peers[turn:] + peers[:turn]:
                        run.setdefault(str(streams), {})[peer.name] = measure_one(load, peer, shape, streams, arguments)
                cell["runs"].append(run)
        finally:
            for peer in reversed(peers):
                peer.stop()
            load.stop()
    return cell


def median(cell: dict, streams: int, peer: str, key: str = "mbit_per_s") -> float:
    return statistics.median(run[str(streams)][peer][key] for run in cell["runs"])


def print_cell(cell: dict, streams: list[int], peers: list[str]) -> None:
    shape = LineShape(**cell["shape"])
    print(f"\n{shape}, queue {cell['queue_bytes'] / 1e6:.2f} MB, median of {len(cell['runs'])}")
    print(f"  {'Mbit/s':<12}" + "".join(f"{f'{n} stream' + 's' * (n > 1):>14}{'lanes':>7}{'x plain':>9}{'to 90 %':>9}"
                                        for n in streams))
    for peer in peers:
        text = f"  {peer:<12}"
        for n in streams:
            speed = median(cell, n, peer)
            beside = f"{speed / max(median(cell, n, Plain.name), 0.01):.2f}" if Plain.name in peers else "-"
            text += f"{speed:>14.1f}{median(cell, n, peer, 'lanes'):>7.3g}{beside:>9}{median(cell, n, peer, 'ramp_s'):>7.1f} s"
        print(text, flush=True)


def bars_of(cell: dict) -> list:
    """(what, measured, least): the bars of one stream in one cell, in Mbit/s."""
    shape = LineShape(**cell["shape"])
    ours, plain, link = median(cell, 1, Culvert.name), median(cell, 1, Plain.name), BARS["of_link"] * shape.rate_mbit
    found = [(f"{shape}: not below plain TCP", ours, min(BARS["never_below_plain"] * plain, link))]
    if shape.congestion == "bbr" or shape.loss == 0:
        found.append((f"{shape}: fills the link", ours, link))
    else:
        lanes = min(median(cell, 1, Culvert.name, "lanes"), BARS["most_lanes"])
        found.append((f"{shape}: {lanes:.3g} lane{'s' if lanes != 1 else ''} as so many connections", ours,
                      min(BARS["of_plain_times_lanes"] * lanes * plain, link)))
    return found


def judge(result: dict, arguments: argparse.Namespace) -> bool:
    met = True
    print()
    for cell in result["cells"]:
        for what, measured, least in bars_of(cell):
            is_met = measured >= least
            met = met and is_met
            result["bars"].append([what, measured, least, is_met])
            print(f"{'met   ' if is_met else 'MISSED'}  {what}: {measured:.1f} (>= {least:.1f} Mbit/s)")
    if arguments.runs < BARS["runs"] or any(getattr(arguments, key) < BARS[key] for key in ("seconds", "warm_up")):
        print(f"Shorter than the bars want (cells with loss: {BARS['runs']} runs of {BARS['seconds']} s after "
              f"{BARS['warm_up']} s, for lanes still grow and young ones are fast until their first loss): an indication.")
    return met


def main() -> int:
    arguments = parse_arguments()
    result = {"machine": machine(), "kernel": BUFFERS, "seed": arguments.seed, "cells": [], "bars": []}
    with WanLine(arguments.seed) as line, tempfile.TemporaryDirectory(prefix="culvert-bench-") as folder:
        honesty = prove_line(line, Path(folder))
        result["honesty"] = honesty.findings
        print(f"far end {FAR}; seed {arguments.seed}; queue 1 BDP; " + "; ".join(f"{k} = {v}" for k, v in line.kernel.items()))
        if honesty.faults:
            return 1
        for shape in chosen_cells(arguments):
            cell = measure_cell(line, shape, arguments)
            result["cells"].append(cell)
            print_cell(cell, arguments.streams, [PEERS[key].name for key in arguments.peers])
    judged = {"plain", "culvert"} <= set(arguments.peers) and 1 in arguments.streams
    met = judge(result, arguments) if judged else True
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except PairError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
