#!/usr/bin/env python3
"""A target without a way to it is said to be unreachable on both sides, and what to look at. A name with several addresses:
the first that answers is taken, none waits longer than its share of the time that is left, and one that swallows packets
is a time-out. In a network and a mount namespace of its own, with names in an /etc/hosts of its own."""
import subprocess
import time
from pathlib import Path

from support.own_network import in_own_network, own_names
from support.scenario import QUICK_END, LocalPair, check, how_refused, main, wait_for_log
from support.tcp import DeafTarget, Echo, echoes, source

ECHO, DEAF, CLOSED, NOWHERE = "10.9.9.1", "10.9.9.2", "10.9.9.3", "10.9.8.1"
NAMES = {"closed-then-deaf.test": (CLOSED, DEAF), "closed-then-nowhere.test": (CLOSED, NOWHERE),
         "deaf-then-echo.test": (DEAF, ECHO)}
PATIENCE = 4  # dial_timeout, seconds.


def scenario(folder: Path) -> None:
    in_own_network("for addresses of its own")
    own_addresses()
    own_names(folder, NAMES)
    echo, pair = Echo(ECHO), LocalPair(folder / "pair")
    deaf = DeafTarget(DEAF, echo.port)
    try:
        pair.start_new(settings={**QUICK_END, '#dial_timeout = "20 s"': f'dial_timeout = "{PATIENCE} s"'})
        no_way(pair)
        several_addresses(pair, echo)
    finally:
        pair.stop()
        echo.close()
        deaf.close()


def own_addresses() -> None:
    for words in (*(["ip", "address", "add", f"{address}/32", "dev", "lo"] for address in (ECHO, DEAF, CLOSED)),
                  ["ip", "route", "add", "unreachable", f"{NOWHERE}/32"]):
        subprocess.run(words, check=True)


def forward(pair: LocalPair, name: str, address: str) -> int:
    pair.provider("target", "add", "demo", name, address)
    pair.customer("forward", "add", name)
    return next(f["port"] for f in pair.status()["forwards"] if f["name"] == name)


def refused(pair: LocalPair, name: str, address: str, reason: str, *pieces: str) -> float:
    """Seconds until the source was reset; both logs say the same."""
    port = forward(pair, name, address)
    began = time.monotonic()
    ended = how_refused(port)
    took = time.monotonic() - began
    check(f"{name}: the source is reset, after {took:.1f} s", ended == "reset", ended)
    for process in (pair.agent, pair.gateway):
        line = wait_for_log(process, f"target={name}", reason)
        check(f"{name}: {process.name} says {reason}, and what to look at",
              all(piece in line for piece in (address, *pieces)) and "canceled" not in line, line)
    return took


def no_way(pair: LocalPair) -> None:
    took = refused(pair, "nowhere", f"{NOWHERE}:5432", "target_unreachable", "cannot be reached", "route", "routes and firewall",
                   "nothing answers at its address")
    check("and nobody waits for it", took < PATIENCE / 2, took)


def several_addresses(pair: LocalPair, echo: Echo) -> None:
    took = refused(pair, "last-nowhere", f"closed-then-nowhere.test:{echo.port}", "target_unreachable", "routes and firewall")
    check("one that refuses and one without a way cost no time", took < PATIENCE / 2, took)
    took = refused(pair, "last-deaf", f"closed-then-deaf.test:{echo.port}", "target_timed_out", "did not answer in time",
                   "firewall open")
    check("the address that swallows packets has all the time that the other left", PATIENCE - 0.3 < took < PATIENCE + 2, took)
    port = forward(pair, "second-echo", f"deaf-then-echo.test:{echo.port}")
    began = time.monotonic()
    stream = source(port)
    check("a first address that swallows packets leaves the second its time", echoes(stream))
    took = time.monotonic() - began
    check(f"which is half of it ({took:.1f} s)", PATIENCE / 2 - 0.3 < took < PATIENCE - 0.5, took)
    stream.close()


main(scenario)
