"""The file of bench wan: every run that was made, of one machine, one set of programs and one set of settings."""
from __future__ import annotations

import hashlib
import json
import os
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Optional

from wan_peers import PEERS, PairError
from wan_plan import Item, Settings
from honesty import BUFFERS
from local_pair import BIN
from wan_line import LineShape

PROGRAMS = ("culvert-agent", "culvert-gateway", "wan-line", "bench-load")
WORDS = {"runs": "runs", "other_runs": "runs of the other peers", "seconds": "seconds", "warm_up": "warm-up", "seed": "seed",
         "fresh": "side by side"}


def identity_of(machine: dict, settings: Settings) -> dict:
    """Runs that differ in any of this do not stand in one table."""
    found = {"processor": machine["cpu"], "cores": machine["cores"], "kernel": machine["kernel"], "openssl": machine["openssl"]}
    found |= machine["versions"] | BUFFERS | {WORDS[name]: value for name, value in asdict(settings).items()}
    for name in PROGRAMS:
        if not (BIN / name).exists():
            raise PairError(f"{BIN / name} is missing; run ./dev build first")
        found[name] = hashlib.sha256((BIN / name).read_bytes()).hexdigest()
    return found


def _short(value: object) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else str(value)


class Results:
    """`data` is what the file holds: identity, pieces (each call's date, honesty, command line), cells, bars."""

    def __init__(self, file: Optional[Path], machine: dict, settings: Settings, may_continue: bool):
        self.file, identity = file, identity_of(machine, settings)
        self.data: dict = {"identity": identity, "machine": machine, "kernel": BUFFERS, "seed": settings.seed, "pieces": [],
                           "cells": [], "bars": []}
        self.settings = settings
        if file is not None and file.exists():
            if not may_continue:
                raise PairError(f"{file} exists: --continue adds what it lacks, another name begins anew")
            self.data = self._read(identity)
        self.continued = bool(self.cells)

    def _read(self, identity: dict) -> dict:
        try:
            found = json.loads(self.file.read_text())
            told, _ = found["identity"], found["cells"]
        except (ValueError, KeyError, TypeError):
            raise PairError(f"{self.file} is no file of bench wan that can be continued") from None
        differs = [f"{key} {_short(told.get(key, 'unknown'))}, now {_short(identity.get(key, 'unknown'))}"
                   for key in {**told, **identity} if told.get(key) != identity.get(key)]
        if differs:
            raise PairError(f"{self.file} cannot be continued, its runs were made with {'; '.join(differs)}")
        return found

    @property
    def cells(self) -> list[dict]:
        return self.data["cells"]

    def cell(self, shape: LineShape) -> Optional[dict]:
        return next((cell for cell in self.cells if LineShape(**cell["shape"]) == shape), None)

    def run_of(self, item: Item) -> Optional[dict]:
        cell, peer = self.cell(item.shape), PEERS[item.peer].name
        if cell is None or not has_run(cell, item.streams, peer, item.number):
            return None
        return cell["runs"][item.number][str(item.streams)][peer]

    def keep(self, item: Item, result: dict) -> None:
        """In the file at once, where there is one."""
        cell = self.cell(item.shape)
        if cell is None:
            cell = {"shape": vars(item.shape), "queue_bytes": item.shape.queue_bytes(), "runs": []}
            self.cells.append(cell)
        while len(cell["runs"]) <= item.number:
            cell["runs"].append({})
        cell["runs"][item.number].setdefault(str(item.streams), {})[PEERS[item.peer].name] = result
        self.write()

    def write(self) -> None:
        """Whole or not at all: a run that is broken off in the middle of it has the file of before."""
        if self.file is None:
            return
        beside = self.file.with_name(self.file.name + ".tmp")
        with open(beside, "w", encoding="utf-8") as out:
            json.dump(self.data, out, indent=2)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        beside.rename(self.file)


def has_run(cell: dict, streams: int, peer: str, number: int) -> bool:
    return number < len(cell["runs"]) and peer in cell["runs"][number].get(str(streams), {})


def runs_of(cell: dict, streams: int, peer: str) -> list[dict]:
    """Those there are, of a peer by its name."""
    return [run[str(streams)][peer] for run in cell["runs"] if peer in run.get(str(streams), {})]


def median(cell: dict, streams: int, peer: str, key: str = "mbit_per_s") -> Optional[float]:
    found = [run[key] for run in runs_of(cell, streams, peer)]
    return statistics.median(found) if found else None


def streams_of(cell: dict) -> list[int]:
    return sorted({int(streams) for run in cell["runs"] for streams in run})


def all_runs(cells: list[dict]) -> list[dict]:
    return [result for cell in cells for run in cell["runs"] for peers in run.values() for result in peers.values()]


def in_order(cells: list[dict]) -> list[dict]:
    """As the matrix is read, whenever they were measured."""
    return sorted(cells, key=lambda cell: (cell["shape"]["congestion"] != "cubic", cell["shape"]["rtt_ms"],
                                           cell["shape"]["loss"], cell["shape"]["rate_mbit"]))
