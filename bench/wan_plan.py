"""What bench wan measures, in which order, and what may run at the same time: cells, runs, waves. Nothing is measured here."""
from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Iterable

import paths  # noqa: F401
from honesty import cubic_mbit, wire_to_payload
from wan_line import LineShape

# (RTT ms, loss, Mbit/s, congestion control): what fits into ten minutes and shows every kind of cell.
SHORT = [(80, 0, 400, "cubic"), (80, 0.001, 400, "cubic"), (20, 0.01, 100, "cubic"), (80, 0.001, 400, "bbr")]
RTTS, LOSSES, RATES, CONGESTIONS = (20, 80, 200), (0, 0.001, 0.01), (100, 400), ("cubic", "bbr")
JUDGED = ("plain", "culvert")  # The peers that bars are about; the others stand beside them.
MOST_LANES = 32

# Cores of one run, line and ends together. A line that carries little wakes up for nearly every packet, one that carries
# much takes several at once, hence a power of the rate. CPU time measured on a 2-core EPYC, each in 11 s: plain TCP 0.016 at
# 0.8 Mbit/s, 0.12 at 25, 0.34 at 95, 0.42 at 365; Culvert 0.07 at 2 (its status is asked each second), 0.45 at 87.
LINK_MBIT, POWER = 386, 0.55
LINK_CORES, LINK_CORES_ELSE = {"plain": 0.65}, 0.9  # At LINK_MBIT; all others encrypt.
FIXED_CORES, FIXED_CORES_ELSE = {"culvert": 0.05}, 0.01
# Of the machine's cores. The line has real-time priority and is in time even on a full machine: what others may lack is
# the processor for the ends of their connections, so a fifth is left. Waves of small runs take less than is expected of them
# (0.6 cores of 0.78; on a machine that others kept busy 0.9 of 1.6 and 1.4 of 2.2, the latest of 27 lines 0.35 ms late).
BUDGET = 0.8
START_SECONDS = 3.5  # Line, sink, peers and an enrolled agent, and their end.


@dataclass(frozen=True)
class Item:
    """One run: so many streams through one peer (a key of PEERS) over one line; `number` counts from 0."""
    shape: LineShape
    streams: int
    peer: str
    number: int

    def __str__(self) -> str:
        return f"{self.shape}, {self.streams} stream{'s' * (self.streams > 1)}, {self.peer}, run {self.number + 1}"


@dataclass(frozen=True)
class Settings:
    """What runs have to have in common to stand in one table."""
    runs: int  # Of cells with loss; without loss one run is as good as five.
    other_runs: int  # The same of peers that no bar is about.
    seconds: int
    warm_up: float
    seed: int
    fresh: bool  # A line and a peer for each run, as side by side; else one line and all peers for each cell.

    def runs_of(self, shape: LineShape, peer: str) -> int:
        return 1 if not shape.loss else self.runs if peer in JUDGED else self.other_runs

    def warm_up_ms(self, shape: LineShape) -> int:
        return max(int(self.warm_up * 1000), int(20 * shape.rtt_ms))

    def run_seconds(self, shape: LineShape) -> float:
        return self.warm_up_ms(shape) / 1e3 + self.seconds + 2 * shape.rtt_ms / 1e3


def cells_of(rtts, losses, rates, congestions) -> list[LineShape]:
    """All cells of these; losses in per cent. None stands for all of the matrix."""
    losses = [loss / 100 for loss in losses] if losses else LOSSES
    chosen = itertools.product(rtts or RTTS, losses, rates or RATES, congestions or CONGESTIONS)
    return [LineShape(rtt_ms=rtt, rate_mbit=rate, loss=loss, congestion=congestion) for rtt, loss, rate, congestion in chosen]


def short_cells() -> list[LineShape]:
    return [LineShape(rtt_ms=rtt, rate_mbit=rate, loss=loss, congestion=congestion) for rtt, loss, rate, congestion in SHORT]


def items_of(shape: LineShape, streams: list[int], peers: list[str], settings: Settings) -> list[Item]:
    """All runs of a cell. Peers take turns, in another order every run, for the losses of one run are not those of the next."""
    found = []
    for number in range(max(settings.runs_of(shape, peer) for peer in peers)):
        turn = number % len(peers)
        found += [Item(shape, count, peer, number) for count in streams for peer in peers[turn:] + peers[:turn]
                  if number < settings.runs_of(shape, peer)]
    return found


def expected_mbit(shape: LineShape, streams: int, peer: str) -> float:
    """The link on BBR or without loss, else as many connections as the response function allows each."""
    link = wire_to_payload(shape.rate_mbit)
    if shape.congestion == "bbr" or not shape.loss:
        return link
    connections = {"culvert": MOST_LANES, "ssh": 1}.get(peer, streams)
    return min(link, connections * cubic_mbit(shape.rtt_ms / 1e3, shape.loss))


def cores_of(item: Item) -> float:
    fixed, link = FIXED_CORES.get(item.peer, FIXED_CORES_ELSE), LINK_CORES.get(item.peer, LINK_CORES_ELSE)
    return fixed + link * (expected_mbit(item.shape, item.streams, item.peer) / LINK_MBIT) ** POWER


def default_budget() -> float:
    return BUDGET * len(os.sched_getaffinity(0))


def _urgency(item: Item) -> tuple:
    """What bars need comes first; among equals, one congestion control after the other (it is the machine's)."""
    return (item.peer not in JUDGED, item.streams != 1, CONGESTIONS.index(item.shape.congestion))


def in_waves(items: Iterable[Item], budget: float) -> list[list[Item]]:
    """Runs that begin and end together, each on a line of its own. All take about equally long, so that little is lost by
    waiting for each other, and nobody's start falls into another one's measurement. A run goes into the first wave of its
    congestion control with room; what alone is above the budget runs alone. Most expensive first of those of one urgency:
    the small ones fill up."""
    waves: list[list[Item]] = []
    room: list[float] = []
    for item in sorted(items, key=lambda item: (*_urgency(item), -cores_of(item))):
        cores = cores_of(item)
        at = next((i for i, wave in enumerate(waves)
                   if room[i] >= cores and wave[0].shape.congestion == item.shape.congestion), None)
        if at is None:
            waves.append([])
            room.append(budget)
            at = len(waves) - 1
        waves[at].append(item)
        room[at] -= cores
    return waves


def seconds_of(waves: list[list[Item]], settings: Settings) -> float:
    """Of waves side by side (`fresh`), or of lists of runs one after the other."""
    if settings.fresh:
        return sum(START_SECONDS + max(settings.run_seconds(item.shape) for item in wave) for wave in waves)
    return sum(1.5 * START_SECONDS + sum(settings.run_seconds(item.shape) for item in wave) for wave in waves)
