"""What `status` of agent and gateway says of the session between them while something happens to its line."""
from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from support.scenario import LocalPair, check


PAUSE = 0.02  # Seconds.


class BothEnds:
    """Asks both ends again and again as long as its context lasts, with a pause after each answer. FarPair does as well."""

    def __init__(self, pair: LocalPair):
        self._pair, self._over = pair, threading.Event()

    def __enter__(self) -> BothEnds:
        self._pool = ThreadPoolExecutor()
        self._looks = {"the agent": self._pool.submit(self._ask, lambda: self._pair.status()["session"]["state"]),
                       "the gateway": self._pool.submit(self._ask, self._at_gateway)}
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()

    def _ask(self, state: Callable[[], str]) -> list[tuple[float, str]]:
        """When each answer was there, and what it was."""
        answers = []
        while not self._over.wait(PAUSE):
            shown = state()
            answers.append((time.monotonic(), shown))
        return answers

    def _at_gateway(self) -> str:
        states = [session["state"] for session in json.loads(self._pair.provider("status", "--json"))["sessions"]]
        return "up" if "up" in states else ", ".join(states)

    def show_as_dead(self, what: str, began: float, within: float) -> None:
        """After the context: what has been dead since `began` (time.monotonic()) was shown so, and to its end."""
        for name, look in self._looks.items():
            answers = look.result()
            dead = min((at for at, state in answers if state != "up"), default=float("inf"))
            took = dead - began  # A lane is dead after 2.5 s; the rest is for the command, which takes its time as well.
            check(f"{name} shows {what} as dead within {within:g} s ({took:.2f} s)", 1 < took <= within, answers)
            check("and not as healthy again as long as it is", all(state != "up" for at, state in answers if at > dead),
                  answers)
