#!/usr/bin/env python3
"""./dev bench wan: long streams over an emulated long line, Culvert beside plain TCP, OpenSSH, stunnel and HAProxy.

All in one run over the same line, which is checked against theory first. bench/README.md says how to read it.
"""
from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from wan_crowd import prove_crowd
from wan_file import Results, all_runs, in_order
from wan_peers import PEERS, PairError, prove_line
from wan_plan import (CONGESTIONS, Item, Settings, cells_of, cores_of, default_budget, in_waves, items_of, seconds_of,
                      short_cells)
from wan_report import BARS, crowd_words, judge, print_cell, write_results
from wan_runs import Wave, crowded_out, was_disturbed
from local import machine, say
from wan_line import FAR, LineShape, Turn, WanLine


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  ./dev bench wan --rtt 80 --loss 0.1 --rate 400 --congestion cubic --runs 5\n"
               "  ./dev bench wan --full --continue --json full.json --results bench/WAN.md")
    parser.add_argument("--full", action="store_true",
                        help=f"all 36 cells, those with loss {BARS['runs']} times {BARS['seconds']} s after {BARS['warm_up']} s "
                        "as the bars want (other peers once), side by side: four and a half hours on two idle cores")
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
    parser.add_argument("--budget", type=float, metavar="CORES", help="run side by side what is expected to take so many cores; "
                        "0: one run after the other (default 0, with --full 0.8 of the machine's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, after every run")
    parser.add_argument("--continue", dest="may_continue", action="store_true",
                        help="FILE may exist: measure only what it lacks, and show all that is in it")
    parser.add_argument("--again", action="store_true",
                        help="with --continue: make those runs anew whose line was late or whose machine was busy")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the matrix there as markdown, as bench/WAN.md has it")
    arguments = parser.parse_args()
    if arguments.may_continue and not arguments.json:
        parser.error("--continue needs --json FILE, the file to be continued")
    if arguments.again and not arguments.may_continue:
        parser.error("--again needs --continue")
    if arguments.budget is None:
        arguments.budget = default_budget() if arguments.full else 0
    return arguments


def settings_of(arguments: argparse.Namespace) -> Settings:
    def chosen(key: str, short: int):
        return getattr(arguments, key) or (BARS[key] if arguments.full else short)
    runs = chosen("runs", 1)
    return Settings(runs=runs, other_runs=1 if arguments.full else runs, seconds=chosen("seconds", 5),
                    warm_up=chosen("warm_up", 4), seed=arguments.seed, fresh=arguments.budget > 0)


def chosen_cells(arguments: argparse.Namespace) -> list[LineShape]:
    chosen = (arguments.rtt, arguments.loss, arguments.rate, arguments.congestion)
    return cells_of(*chosen) if arguments.full or any(chosen) else short_cells()


def is_wanted(run: Optional[dict], again: bool) -> bool:
    return run is None or (again and was_disturbed(run))


def time_words(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"


class Bench:
    """Measures what the file lacks. `steps` are waves side by side, or the runs of a cell one after the other."""

    def __init__(self, results: Results, steps: list[list[Item]], settings: Settings):
        self.results, self.steps, self.settings = results, steps, settings
        self._began, self._planned = time.monotonic(), 0.0

    def left(self, after: int) -> str:
        """As the plan has it, corrected by how the steps so far kept to it, with runs that had to be made again."""
        passed = time.monotonic() - self._began
        pace = passed / self._planned if self._planned else 1
        return f"about {time_words(seconds_of(self.steps[after:], self.settings) * pace)} left"

    def measure(self) -> None:
        for number, items in enumerate(self.steps):
            if self.settings.fresh:
                say(f"wave {number + 1} of {len(self.steps)}: {len(items)} run{'s' * (len(items) > 1)} on "
                    f"{items[0].shape.congestion}, {sum(map(cores_of, items)):.2f} cores; {self.left(number)}")
                self._side_by_side(items)
            else:
                self._one_by_one(items, self.left(number))
            self._planned += seconds_of([items], self.settings)

    def _one_by_one(self, items: list[Item], left: str) -> None:
        told: set[int] = set()

        def begins(item: Item) -> None:
            if item.number not in told:
                told.add(item.number)
                say(f"{item.shape}: run {item.number + 1} of {max(i.number for i in items) + 1}; {left} at its first run")

        Wave([items], self.settings, begins).run(self.results.keep, self._failed)
        if not self.results.continued:  # Else all are shown at the end, with those of before.
            print_cell(self.results.cell(items[0].shape))

    def _side_by_side(self, items: list[Item]) -> None:
        found: dict[Item, dict] = {}
        again: dict[Item, dict] = {}

        def failed(item: Item, error: Exception) -> None:
            if len(items) == 1:
                self._failed(item, error)
            again[item] = {"failed": str(error)}

        wave = Wave([[item] for item in items], self.settings)
        wave.run(found.__setitem__, failed)
        for item, result in found.items():
            if len(items) > 1 and crowded_out(result, wave.own_cores):
                # Not into the file: who continues it would take it for measured.
                again[item] = {key: result[key] for key in ("mbit_per_s", "late_us", "idle")}
            else:
                self.results.keep(item, result | {"beside": len(items) - 1, "own_cores": wave.own_cores})
        for item, first in again.items():
            why = first.get("failed") or f"late by {first['late_us']:.0f} us on average, {first['idle'] * 100:.0f} % idle"
            say(f"again, alone: {item} ({why})")
            Wave([[item]], self.settings).run(
                lambda item, result, first=first: self.results.keep(item, result | {"beside": 0, "again": first}), self._failed)

    @staticmethod
    def _failed(item: Item, error: Exception) -> None:
        raise PairError(f"{item}: {error}") from error


def prove(arguments: argparse.Namespace, most_lines: int) -> list[str]:
    """The head of the table: what was found about the line, alone and in a crowd. PairError when it is not honest."""
    with WanLine(arguments.seed) as line, tempfile.TemporaryDirectory(prefix="culvert-bench-") as folder:
        found = [prove_line(line, Path(folder), shapes=chosen_cells(arguments))]
        kernel = "; ".join(f"{key} = {value}" for key, value in line.kernel.items())
    if arguments.budget > 0 and not found[0].faults:
        found.append(prove_crowd(arguments.budget, most_lines))
    print(f"far end {FAR}; seed {arguments.seed}; queue 1 BDP; {kernel}", flush=True)
    faults = [fault for honesty in found for fault in honesty.faults]
    if faults:
        raise PairError(f"the line is not what it says: {'; '.join(faults)}")
    return [finding for honesty in found for finding in honesty.findings]


def main() -> int:
    arguments = parse_arguments()
    settings, here = settings_of(arguments), machine()
    results = Results(arguments.json, here, settings, arguments.may_continue)
    lacking = [[item for item in items_of(shape, arguments.streams, arguments.peers, settings)
                if is_wanted(results.run_of(item), arguments.again)] for shape in chosen_cells(arguments)]
    steps = in_waves(sum(lacking, []), arguments.budget) if settings.fresh else [items for items in lacking if items]
    if steps:
        say(f"{sum(map(len, steps))} runs to make, about {time_words(seconds_of(steps, settings))}")
        with Turn.join():  # No other bench comes in between two lines of ours.
            piece = {"date": here["date"], "load_before": here["load_before"], "budget": arguments.budget,
                     "command": shlex.join(["./dev", "bench", "wan", *sys.argv[1:]]),
                     "honesty": prove(arguments, max(map(len, steps)))}
            results.data["pieces"].append(piece)
            try:
                Bench(results, steps, settings).measure()
            except (KeyboardInterrupt, SystemExit):
                if arguments.json:
                    say(f"broken off; {arguments.json} keeps the {len(all_runs(results.cells))} runs that ended, "
                        "the same with --continue makes the rest")
                raise
    if settings.fresh or results.continued:
        for cell in in_order(results.cells):
            print_cell(cell)
        print("\n" + crowd_words(results.data))
        for piece in results.data["pieces"]:
            print(f"{piece['date']}: line honest: " + "; ".join(piece["honesty"]))
    met = judge(results.data, settings)
    results.write()
    if arguments.results:
        write_results(arguments.results, results.data, settings)
    return 0 if met else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except PairError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
