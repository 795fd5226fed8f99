#!/usr/bin/env python3
"""culvert-gateway status counts the streams of all sessions since its start: what it says does not fall when one ends."""
import json
import time
from pathlib import Path

from support.scenario import QUICK_END, LocalPair, check, free_port, how_refused, main, wait_until
from support.tcp import Echo, echoes, source

OPENED, RESET = 3, 2


def scenario(folder: Path) -> None:
    pair, echo = LocalPair(folder), Echo()
    try:
        pair.start_new(settings=QUICK_END)
        good, bad = pair.add_forward("good", echo.port), pair.add_forward("bad", free_port())
        use(good, bad)
        wait_until("the streams in the gateway's status", lambda: totals(pair)["open"] == 0)
        first = totals(pair)
        check("opened and reset streams are counted", first["opened_total"] >= OPENED and first["reset_total"] == RESET, first)

        pair.agent.stop()
        wait_until("the end of the session", lambda: not status(pair)["sessions"])
        check("they still are when their session has ended", totals(pair) == first, totals(pair))
        time.sleep(2)  # The gateway forgets a session one second after its end.
        check("and when it is forgotten", totals(pair) == first, totals(pair))

        pair.start_agent()
        wait_until("a new session", lambda: pair.status()["session"]["state"] == "up")
        use(good, bad)
        wait_until("its streams beside them", lambda: totals(pair) == {key: 2 * value for key, value in first.items()})
        check("those of the next session are added", True)
    finally:
        pair.stop()
        echo.close()


def status(pair: LocalPair) -> dict:
    return json.loads(pair.provider("status", "--json"))


def totals(pair: LocalPair) -> dict:
    return status(pair)["streams"]


def use(good: int, bad: int) -> None:
    for _ in range(OPENED):
        stream = source(good)
        check("a stream echoes", echoes(stream))
        stream.close()
    for _ in range(RESET):
        check("one to a target that refuses is reset", how_refused(bad) == "reset")


main(scenario)
