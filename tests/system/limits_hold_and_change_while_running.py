#!/usr/bin/env python3
"""Bandwidth limits of forward, site and org: 2 % over 10 s, shared evenly, changed under running streams in a second."""
import json
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from support.scenario import check, main  # noqa: E402
from local_pair import LocalPair, wait_until  # noqa: E402

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


def mbit_per_s(ends: list[End], seconds: float) -> list[float]:
    before, began = [end.taken for end in ends], time.monotonic()
    time.sleep(seconds)
    after, took = [end.taken for end in ends], time.monotonic() - began
    return [(now - then) * 8 / took / 1e6 for then, now in zip(before, after)]


def holds(what: str, ends: list[End], wanted: float, seconds: float = SECONDS, off: float = 0.02) -> list[float]:
    rates = mbit_per_s(ends, seconds)
    check(f"{what}: {sum(rates):.2f} Mbit/s over {seconds:g} s, {wanted:g} wanted",
          abs(sum(rates) / wanted - 1) <= off, rates)
    return rates


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
        pair.start_new({'#drain_timeout = "30 s"': 'drain_timeout = "1 s"'})
        # Streams are closed first, in the reverse order: the daemons have nothing to drain.
        up, down = Flood(stack), Flood(stack)
        up_port, down_port = pair.add_forward("up", up.port), pair.add_forward("down", down.port)

        pair.customer("limit", "set", "--forward", "up", "--up", "24Mbit/s")
        sources = [up.source(up_port, gives=True, takes=False) for _ in range(4)]
        wait_until("the streams are there", lambda: len(up.ends) == len(sources))
        settled()
        rates = holds("a forward's limit, 4 streams up", up.ends, 24)
        check(f"the four share it evenly: {[round(rate, 2) for rate in rates]}", min(rates) > 0.9 * max(rates), rates)
        check("status names the limit that holds them back", limiting(pair, "up") == {"up": True, "down": False})
        check("and says that a limit is what holds the session", pair.status()["session"]["limited_by"] == "limit")

        pair.customer("limit", "set", "--forward", "up", "--up", "48Mbit/s")
        settled()
        holds("a second after it was raised", up.ends, 48, 3, 0.03)
        pair.customer("limit", "set", "--forward", "up", "--up", "6Mbit/s")
        settled()
        holds("a second after it was lowered", up.ends, 6, 3, 0.03)

        pair.customer("limit", "set", "--up", "20Mbit/s", "--down", "16Mbit/s")
        pair.customer("limit", "remove", "--forward", "up")
        sinks = [down.source(down_port, gives=False, takes=True) for _ in range(2)]
        wait_until("they have begun", lambda: all(sink.taken > 0 for sink in sinks))
        settled()
        both = up.ends + sinks
        rates = mbit_per_s(both, SECONDS)
        ups, downs = sum(rates[:len(up.ends)]), sum(rates[len(up.ends):])
        check(f"the site's limit over both forwards: {ups:.2f} up, {downs:.2f} down, 20 and 16 wanted",
              abs(ups / 20 - 1) <= 0.02 and abs(downs / 16 - 1) <= 0.02, rates)
        check("status names the site's", limiting(pair, None) == {"up": True, "down": True})
        pair.customer("limit", "set", "--down", "32Mbit/s")
        settled()
        holds("down, a second after it was raised", sinks, 32, 3, 0.03)
        pair.customer("limit", "set", "--down", "5Mbit/s")
        settled()
        holds("down, a second after it was lowered", sinks, 5, 3, 0.03)

        # A window that holds all day, and one that never comes before this scenario has ended.
        pair.customer("limit", "set", "--up", "8Mbit/s", "--window", "daily 00:00-24:00")
        settled()
        holds("a window that is open", up.ends, 8, 3, 0.03)
        pair.customer("limit", "remove")
        settled()
        check("no limit is left, and more moves than before", sum(mbit_per_s(up.ends, 1)) > 60)
        check("limit list is empty", json.loads(pair.customer("limit", "list", "--json"))["limits"] == [])

        pair.provider("limit", "set", "demo", "--up", "20Mbit/s", "--down", "30Mbit/s")
        settled()
        rates = mbit_per_s(both, SECONDS)
        ups, downs = sum(rates[:len(up.ends)]), sum(rates[len(up.ends):])
        check(f"the org's limit at the gateway: {ups:.2f} up, {downs:.2f} down, 20 and 30 wanted",
              abs(ups / 20 - 1) <= 0.02 and abs(downs / 30 - 1) <= 0.02, rates)
        shown = json.loads(pair.provider("status", "--json"))["limits"][0]
        check("the gateway's status names it", shown["org"] == "demo" and shown["limiting"]["up"], shown)
        pair.provider("limit", "set", "demo", "--down", "10Mbit/s")
        settled()
        holds("the org's down, a second after it was lowered", sinks, 10, 3, 0.03)

        pair.provider("limit", "set", "demo", "--site", "here", "--target", "up", "--up", "5Mbit/s")
        settled()
        holds("a site's use of a target, a second after it was set", up.ends, 5, 3, 0.03)
        pair.provider("limit", "remove", "demo", "--site", "here", "--target", "up")
        settled()
        holds("and a second after it was removed", up.ends, 20, 3, 0.03)
        pair.provider("limit", "remove", "demo")
        settled()
        check("without a limit more moves than before", sum(mbit_per_s(up.ends, 1)) > 60)


main(scenario)
