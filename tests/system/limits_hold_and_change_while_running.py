#!/usr/bin/env python3
"""Bandwidth limits of forward, site and org: 2 % over 10 s, shared evenly, changed under running streams in a second, by
command and by a weekly window that begins."""
import json
import socket
import threading
import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from support.proxied import set_section
from support.scenario import BIN, QUICK_END, LocalPair, Process, check, free_port, main, wait_until

SECONDS = 10.0
PIECE = bytes(65536)


class Flood:
    """A target that takes and gives as fast as it can. What each stream has moved is counted where it arrives."""

    def __init__(self, stack: ExitStack):
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._listener.getsockname()[1]
        self._stack, self.ends = stack, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._stack.callback(near.close)
            self.ends.append(End(near, both=True))

    def source(self, port: int, gives: bool, takes: bool) -> "End":
        end = End(self._stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)), gives, takes)
        return end


class End:
    def __init__(self, sock: socket.socket, gives: bool = False, takes: bool = False, both: bool = False):
        self.sock, self.taken = sock, 0
        sock.settimeout(None)
        if gives or both:
            threading.Thread(target=self._give, daemon=True).start()
        if takes or both:
            threading.Thread(target=self._take, daemon=True).start()

    def _give(self) -> None:
        try:
            while True:
                self.sock.sendall(PIECE)
        except OSError:
            pass

    def _take(self) -> None:
        try:
            while piece := self.sock.recv(len(PIECE)):
                self.taken += len(piece)
        except OSError:
            pass


class Week:
    """The site of another org, with a stream both ways and limits that a window changes on the full minute, while the
    scenario goes on: `up` is its forward's at the agent, `down` its org's at the gateway."""

    OUTSIDE, WITHIN = {"up": 4, "down": 8}, {"up": 8, "down": 4}  # Mbit/s: one is raised, one lowered.
    AHEAD = 5  # Seconds at least until the window begins, in which the rates outside of it are seen.

    def __init__(self, pair: LocalPair, folder: Path, stack: ExitStack):
        self._pair, self._config = pair, folder / "agent.toml"
        pair.provider("org", "add", "weekly")
        token = pair.provider("join-token", "weekly", "there").strip()
        pair.command(BIN / "culvert-agent", "join", token, "--data", folder)
        set_section(self._config, "limits", drain_timeout="1 s")
        agent = Process([str(BIN / "culvert-agent"), "run", "--config", str(self._config)], folder.with_suffix(".log"),
                        ready="ready")
        stack.callback(agent.stop)
        target, port = Flood(stack), free_port()
        pair.provider("target", "add", "weekly", "bulk", f"127.0.0.1:{target.port}")
        self._customer("forward", "add", "bulk", "--port", port)
        self._limit(self.OUTSIDE)
        source = target.source(port, gives=True, takes=True)
        wait_until("the stream of the other org is there", lambda: len(target.ends) == 1)
        self._ends = {"up": target.ends[0], "down": source}
        # The wall clock: windows go by it. Its full minutes are those of the host's time zone as well.
        self._begins = (int(time.time()) + self.AHEAD) // 60 * 60 + 60
        hours = [time.strftime("%H:%M", time.localtime(at)) for at in (self._begins, self._begins + 600)]
        self._limit(self.WITHIN, "--window", f"daily {'-'.join(hours)}")
        self._looks: list[tuple[float, dict[str, int]]] = []
        threading.Thread(target=self._look, daemon=True).start()

    def _customer(self, *words: object) -> None:
        self._pair.command(BIN / "culvert-agent", *words, "--config", self._config)

    def _limit(self, rates: dict[str, int], *when: str) -> None:
        self._customer("limit", "set", "--forward", "bulk", "--up", f"{rates['up']}Mbit/s", *when)
        self._pair.provider("limit", "set", "weekly", "--down", f"{rates['down']}Mbit/s", *when)

    def _look(self) -> None:
        while True:
            self._looks.append((time.time(), {way: end.taken for way, end in self._ends.items()}))
            time.sleep(0.02)

    def holds(self) -> None:
        """Waits for what is left of the time: a minute at most from the beginning, and what is looked at in the window."""
        self._moved("a weekly window, before it begins", self.OUTSIDE, -3, 3, 0.03)
        self._moved("a weekly window, from a second after it began on", self.WITHIN, 1, SECONDS, 0.02)

    def _moved(self, what: str, wanted: dict[str, int], begin: float, seconds: float, off: float) -> None:
        begin += self._begins
        wait_until("the window", lambda: self._looks[-1][0] >= begin + seconds, 80)
        (first, before), (last, after) = (next(look for look in self._looks if look[0] >= at)
                                          for at in (begin, begin + seconds))
        rates = {way: (after[way] - before[way]) * 8 / (last - first) / 1e6 for way in wanted}
        shown = " and ".join(f"{rates[way]:.2f} Mbit/s {way} of {wanted[way]}" for way in wanted)
        check(f"{what}: a forward's up and an org's down, over {seconds:g} s: {shown}",
              all(abs(rates[way] / wanted[way] - 1) <= off for way in wanted))


def mbit_per_s(ends: list[End], seconds: float) -> list[float]:
    before, began = [end.taken for end in ends], time.monotonic()
    time.sleep(seconds)
    after, took = [end.taken for end in ends], time.monotonic() - began
    return [(now - then) * 8 / took / 1e6 for then, now in zip(before, after)]


def holds(what: str, *groups: tuple[list[End], float], seconds: float = SECONDS, off: float = 0.02) -> list[list[float]]:
    """Each group of ends moves what is wanted of it, in Mbit/s, all at the same time. What each end of a group moved."""
    rates = iter(mbit_per_s([end for ends, _ in groups for end in ends], seconds))
    moved = [list(islice(rates, len(ends))) for ends, _ in groups]
    sums = [(sum(group), wanted) for group, (_, wanted) in zip(moved, groups)]
    check(f"{what}, over {seconds:g} s: " + " and ".join(f"{moves:.2f} Mbit/s of {wanted:g}" for moves, wanted in sums),
          all(abs(moves / wanted - 1) <= off for moves, wanted in sums), moved)
    return moved


def soon_holds(what: str, *groups: tuple[list[End], float]) -> None:
    """A second after a change; in a shorter time than the one that the 2 % are promised for."""
    settled()
    holds(f"a second after {what}", *groups, seconds=3, off=0.03)


def settled() -> None:
    """What a limit promises: in force after a second."""
    time.sleep(1)


def limiting(pair: LocalPair, forward: str | None) -> dict:
    limits = pair.status()["limits"]
    return next(limit["limiting"] for limit in limits if limit["forward"] == forward)


def scenario(folder: Path) -> None:
    pair = LocalPair(folder / "pair")
    with ExitStack() as stack:
        stack.callback(pair.stop)
        pair.start_new(QUICK_END)
        # Streams are closed first, in the reverse order: the daemons have nothing to drain.
        week = Week(pair, folder / "weekly", stack)
        up, down = Flood(stack), Flood(stack)
        up_port, down_port = pair.add_forward("up", up.port), pair.add_forward("down", down.port)
        set_forwards(pair, 24, 18)
        for _ in range(4):
            up.source(up_port, gives=True, takes=False)
        sinks = [down.source(down_port, gives=False, takes=True) for _ in range(2)]
        wait_until("the streams are there", lambda: len(up.ends) == 4 and all(sink.taken > 0 for sink in sinks))
        of_forwards(pair, up.ends, sinks)
        of_site(pair, up.ends, sinks)
        of_org(pair, up.ends, sinks)
        week.holds()


def set_forwards(pair: LocalPair, up: int, down: int) -> None:
    pair.customer("limit", "set", "--forward", "up", "--up", f"{up}Mbit/s")
    pair.customer("limit", "set", "--forward", "down", "--down", f"{down}Mbit/s")


def of_forwards(pair: LocalPair, ups: list[End], downs: list[End]) -> None:
    settled()
    rates, _ = holds("the limits of two forwards, 4 streams up and 2 down", (ups, 24), (downs, 18))
    check(f"the four share theirs evenly: {[round(rate, 2) for rate in rates]}", min(rates) > 0.9 * max(rates), rates)
    check("status names the limits that hold them back", limiting(pair, "up") == {"up": True, "down": False}
          and limiting(pair, "down") == {"up": False, "down": True}, pair.status()["limits"])
    check("and says that a limit is what holds the session", pair.status()["session"]["limited_by"] == "limit")
    set_forwards(pair, 48, 30)
    soon_holds("both were raised", (ups, 48), (downs, 30))
    set_forwards(pair, 6, 5)
    soon_holds("both were lowered", (ups, 6), (downs, 5))


def of_site(pair: LocalPair, ups: list[End], downs: list[End]) -> None:
    pair.customer("limit", "set", "--up", "20Mbit/s", "--down", "16Mbit/s")
    for forward in ("up", "down"):
        pair.customer("limit", "remove", "--forward", forward)
    settled()
    holds("the site's limit over both forwards", (ups, 20), (downs, 16))
    check("status names the site's", limiting(pair, None) == {"up": True, "down": True})
    # A window that holds all day; the direction that it does not name stays as it is without it.
    pair.customer("limit", "set", "--up", "8Mbit/s", "--window", "daily 00:00-24:00")
    pair.customer("limit", "set", "--down", "32Mbit/s")
    soon_holds("up got a window that is open, and down was raised", (ups, 8), (downs, 32))
    pair.customer("limit", "set", "--down", "5Mbit/s")
    soon_holds("down was lowered", (ups, 8), (downs, 5))
    pair.customer("limit", "remove")
    settled()
    check("no limit is left, and more moves than before", sum(mbit_per_s(ups, 1)) > 60)
    check("limit list is empty", json.loads(pair.customer("limit", "list", "--json"))["limits"] == [])


def of_org(pair: LocalPair, ups: list[End], downs: list[End]) -> None:
    pair.provider("limit", "set", "demo", "--up", "20Mbit/s", "--down", "30Mbit/s")
    settled()
    holds("the org's limit at the gateway", (ups, 20), (downs, 30))
    shown = json.loads(pair.provider("status", "--json"))["limits"]
    check("the gateway's status names it", any(limit["org"] == "demo" and limit["limiting"]["up"] for limit in shown), shown)
    pair.provider("limit", "set", "demo", "--down", "10Mbit/s")
    soon_holds("the org's down was lowered", (downs, 10))
    pair.provider("limit", "set", "demo", "--site", "here", "--target", "up", "--up", "5Mbit/s")
    soon_holds("a site's use of a target was limited", (ups, 5))
    pair.provider("limit", "remove", "demo", "--site", "here", "--target", "up")
    soon_holds("that was removed", (ups, 20))
    pair.provider("limit", "remove", "demo")
    settled()
    check("without a limit more moves than before", sum(mbit_per_s(ups, 1)) > 60)


main(scenario)
