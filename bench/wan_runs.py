"""The runs of bench wan: a sitting is one line with its peers and the runs made on it, a wave is sittings side by side."""
from __future__ import annotations

import collections
import json
import os
import subprocess
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Callable, Optional, Sequence

from wan_peers import PEERS, Culvert, PairError, Plain, Sampler
from wan_plan import Item, Settings
from honesty import BUFFERS, line_load
from processes import cpu_seconds
from wan_line import LineShape, WanLine

LATE_US = 500  # On average, of either direction: what the honesty check allows as well.
LEAST_IDLE = 0.1  # Of the machine: with less, somebody waited for a processor.
STOP_SECONDS = 20


def seed_of(seed: int, shape: LineShape, number: int) -> int:
    """All peers of a run meet the same losses; runs and cells meet others, or five runs would be one."""
    return zlib.crc32(f"{seed} {shape} {number}".encode())


def idle_core_seconds() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        fields = file.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")  # Idle, and waiting for a disk.


class Sitting(threading.Thread):
    """All in one thread: what it starts ends with the thread that started it, even when this program is killed."""

    def __init__(self, items: Sequence[Item], settings: Settings, folder: Path, go: threading.Event, stop: threading.Event,
                 done: Callable[[Item, Optional[dict], Optional[Exception]], None], begins: Callable[[Item], None]):
        super().__init__(daemon=True)
        self.items, self.settings, self.folder = list(items), settings, folder
        self.ready = threading.Event()  # Its peers run, or it has failed.
        self._go, self._stop_asked, self._done, self._begins = go, stop, done, begins
        self._running: Optional[subprocess.Popen] = None

    def run(self) -> None:
        shape, at = self.items[0].shape, 0
        try:
            with WanLine(seed_of(self.settings.seed, shape, self.items[0].number)) as line:
                line.set_kernel(BUFFERS)
                line.shape(shape)
                load, peers = line_load(line, self.folder), {}
                try:
                    for key in dict.fromkeys(item.peer for item in self.items):
                        peers[key] = PEERS[key](line, load, self.folder / key)
                    self.ready.set()
                    self._go.wait()
                    for item in self.items:
                        self._begins(item)
                        self._done(item, self._measure(load, peers[item.peer], item), None)
                        at += 1
                finally:
                    for peer in reversed(peers.values()):
                        peer.stop()
                    load.stop()
        except Exception as error:  # The thread that waits has to hear of it, whatever it is.
            for item in self.items[at:]:
                self._done(item, None, error)
        finally:
            self.ready.set()

    def break_off(self) -> None:
        """Ends what it measures; run() then ends what it has started. Any thread may call."""
        running = self._running
        if running is not None:
            running.kill()

    def _measure(self, load, peer: Plain, item: Item) -> dict:
        peer.line.tell("clear")
        carried = Sampler(lambda: peer.line.stats()["up"]["bytes"], period=0.2)
        with Sampler(peer.lanes) as lanes, carried, Sampler(idle_core_seconds, period=0.2) as idle:
            result = self._steady(load, peer, item)
        window = (result["from_us"], result["to_us"])
        # The sink can be given within the window what crossed the line before it and waited for a lost packet.
        result["sink_mbit_per_s"], result["wire_mbit_per_s"] = result["mbit_per_s"], carried.rate(*window) * 8 / 1e6
        result["mbit_per_s"] = min(result["sink_mbit_per_s"], result["wire_mbit_per_s"])
        result["lanes"] = lanes.mean(*window) if isinstance(peer, Culvert) else item.streams
        told = peer.line.stats()
        sent = told["up"]["packets"] + told["up"]["dropped_by_loss"]
        result["packets"], result["lost_packets"] = sent, told["up"]["dropped_by_loss"]
        result["late_us"] = max(told[way]["mean_late_us"] for way in ("up", "down"))
        result["idle"] = idle.rate(*window) / len(os.sched_getaffinity(0))
        result["line_seed"] = peer.line.seed
        if isinstance(peer, Culvert):
            peer.check_congestion()
        return result

    def _steady(self, load, peer: Plain, item: Item) -> dict:
        words = load.command("steady", [peer.to], streams=item.streams, seconds=self.settings.seconds,
                             warm_up_ms=self.settings.warm_up_ms(item.shape))
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as self._running:
            if self._stop_asked.is_set():
                self._running.kill()
            told, complaint = self._running.communicate(timeout=900)
        if self._running.returncode != 0:
            raise PairError("broken off" if self._stop_asked.is_set() else f"bench-load steady failed: {complaint.strip()}")
        return json.loads(told)


class Wave:
    """Sittings side by side: all are ready before the first measures."""

    def __init__(self, sittings: Sequence[Sequence[Item]], settings: Settings, begins: Callable[[Item], None] = lambda _: None):
        self._told: collections.deque = collections.deque()
        self._go, self._stop = threading.Event(), threading.Event()
        self._sittings, self._settings, self._begins = sittings, settings, begins
        self.own_cores = 0.0  # Used by all of it together, from the begin of the first run to the end of the first one.

    def run(self, keep: Callable[[Item, dict], None], failed: Callable[[Item, Exception], None]) -> None:
        """Calls either for each run as it ends, in the caller's thread."""
        with tempfile.TemporaryDirectory(prefix="culvert-bench-", ignore_cleanup_errors=True) as name:
            threads = []
            for number, items in enumerate(self._sittings):
                folder = Path(name) / str(number)
                folder.mkdir()
                threads.append(Sitting(items, self._settings, folder, self._go, self._stop,
                                       lambda *told: self._told.append(told), self._begins))
            try:
                for thread in threads:
                    thread.start()
                self._wait_for(lambda: all(thread.ready.is_set() for thread in threads))
                self._collect(keep, failed)
                self._wait_for(lambda: not any(thread.is_alive() for thread in threads))
            except BaseException:
                self._end(threads)
                raise

    @staticmethod
    def _wait_for(condition: Callable[[], bool]) -> None:
        """By looking: an exception that a signal raises within a lock or a queue would leave it broken."""
        while not condition():
            time.sleep(0.1)

    def _collect(self, keep: Callable[[Item, dict], None], failed: Callable[[Item, Exception], None]) -> None:
        began, used = time.monotonic(), cpu_seconds(os.getpid())
        self._go.set()
        for number in range(sum(map(len, self._sittings))):
            self._wait_for(lambda: bool(self._told))
            if number == 0:
                self.own_cores = (cpu_seconds(os.getpid()) - used) / (time.monotonic() - began)
            item, result, error = self._told.popleft()
            keep(item, result) if error is None else failed(item, error)

    def _end(self, threads: Sequence[Sitting]) -> None:
        self._stop.set()
        self._go.set()
        deadline = time.monotonic() + STOP_SECONDS
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
            for thread in threads:
                if thread.ident is not None:
                    thread.break_off()
            time.sleep(0.1)


def was_disturbed(result: dict) -> bool:
    """Was its line late, or the machine short of a processor, whoever took it?"""
    return result["late_us"] > LATE_US or result["idle"] < LEAST_IDLE


def crowded_out(result: dict, own_cores: float) -> bool:
    """Would it have been better alone? What other programs take, they take from a run alone as well."""
    by_us = own_cores > (1 - LEAST_IDLE) * len(os.sched_getaffinity(0))
    return result["late_us"] > LATE_US or (result["idle"] < LEAST_IDLE and by_us)
