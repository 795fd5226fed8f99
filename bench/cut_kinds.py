"""What bench cuts does to lanes and to the line, and how long streams may stand still for it."""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Callable, Optional

from verified_streams import OUTAGE_SECONDS


@dataclass(frozen=True)
class Kind:
    """How stalls of a kind are counted: `from_end` until the line is back, else the delay of the worst chunk; `bar_ms` of p99."""
    what: str
    seconds: float  # At least, to the next cut of that agent.
    bar_ms: Callable[[float], Optional[float]]  # Of the RTT in ms; None: there is none.
    from_end: bool = False


def one_lost(rtt: float) -> float:
    return rtt + 50


def all_lost(rtt: float) -> float:
    return 3 * rtt + 200


def black_hole(rtt: float) -> float:
    return 3000 + 3 * rtt


KINDS = {
    "none": Kind("no cut", 1.5, lambda rtt: None),
    "one_reset": Kind("one lane of several reset", 1.5, one_lost),
    "all_reset": Kind("all lanes reset", 1.5, all_lost),
    "twice_reset": Kind("all reset, again during the replay", 2, lambda rtt: None),
    "one_truncated": Kind("one lane of several ends in mid-record", 1.5, one_lost),
    "all_truncated": Kind("all lanes end in mid-record", 1.5, all_lost),
    "all_rebound": Kind("address translator forgets all lanes", 2, black_hole),
    "one_hole": Kind("one lane of several in a black hole", 4.5, black_hole),
    "all_hole": Kind("all lanes in a black hole", 5, black_hole),
    "one_proxy_close": Kind("one lane of several closed by a proxy", 1.5, one_lost),
    "all_proxy_close": Kind("all lanes closed by a proxy", 1.5, all_lost),
    "one_proxy_reset": Kind("one lane of several reset by a proxy", 1.5, one_lost),
    "all_proxy_reset": Kind("all lanes reset by a proxy", 1.5, all_lost),
    "outage": Kind("line dead both ways", 2, lambda rtt: 1500, from_end=True),
    "outage_one_way": Kind("line dead one way", 2, lambda rtt: 1500, from_end=True),
}
OUTAGES = ("outage", "outage_one_way")  # Of the whole line; the other kinds are of one agent's lanes.
PROXY_KINDS = tuple(kind for kind in KINDS if "_proxy_" in kind)
BY_DEFAULT = tuple(kind for kind in KINDS if kind not in (*PROXY_KINDS, "none"))
VERBS = {"reset": "reset", "truncated": "truncate", "rebound": "rebind", "hole": "hole", "proxy_close": "close",
         "proxy_reset": "reset"}  # What wan-line, or the agent's proxy, is told, by the kind without its first word.


def text_of(kind: str, arguments: argparse.Namespace) -> str:
    if kind not in OUTAGES:
        return KINDS[kind].what
    seconds = f"{arguments.outage:g}" if arguments.outage else "{:g} to {:g}".format(*OUTAGE_SECONDS)
    return f"{KINDS[kind].what}, {seconds} s"
