#!/usr/bin/env python3
"""On a line that loses packets each lane more would bring more: a polite agent keeps to one all the same, and no session
has more than its org may have, not even after an outage of 2 s, when the agent asks for four to catch up. By WebSocket
there are as many as otherwise."""
import json
import re
import time
from pathlib import Path

from support.bulk import sink_program, source_program
from support.far_pair import FarPair, long_line
from support.proxied import set_section
from support.scenario import check, log_of, main, wait_for_log
from wan_line import FAR, LineShape, NO_BBR, WanLine

PORT, TARGET = 10003, 7001
LOSSY, CLEAN = LineShape(rtt_ms=40, rate_mbit=100, loss=0.01), LineShape(rtt_ms=40, rate_mbit=100)
CEILING = 3  # Below the four lanes for what an outage has left.
REFUSED = "the session has all the lanes"
OUTAGE = 2  # Seconds: more than the second after which the agent dials, less than the 2.5 s after which lanes are dead.
SINK, SOURCE = sink_program(FAR, TARGET), source_program(PORT)


class Lanes:
    """The lanes of the session that the agent has now, as both ends show them."""

    def __init__(self, pair: FarPair):
        self._pair, self._log_from, self.most = pair, len(log_of(pair.gateway)), 0
        self.carriers: set[str] = set()

    def look(self, seconds: float, enough: int = 33) -> int:
        """The most at a time that either end showed, in so many seconds or until there were enough."""
        seen, until = 0, time.monotonic() + seconds
        while seen < enough and time.monotonic() < until:
            seen = max(seen, *self._now())
            time.sleep(0.05)
        self.most = max(self.most, seen)
        return seen

    def _now(self) -> tuple[int, int]:
        """What the agent is giving back is not a lane of its any more. The gateway, which refuses, counts it until then."""
        status = self._pair.status()
        self.carriers |= {lane["carrier"] for lane in status["lanes"]}
        sessions = json.loads(self._pair.provider("status", "--json"))["sessions"]
        return (sum(lane["state"] != "closing" for lane in status["lanes"]),
                sum(session["lanes"] for session in sessions if session["id"] == status["session"]["id"]))

    def most_logged(self) -> int:
        """At the gateway, whenever a lane came: no look can be too late for that."""
        return max(map(int, re.findall(r"lane up lanes=(\d+)", log_of(self._pair.gateway)[self._log_from:])))


def scenario(folder: Path) -> None:
    with long_line() as line, FarPair(line, folder, FAR) as pair:
        line.shape(LOSSY)
        pair.python(line.far, SINK, name="sink")
        set_lines(pair, ("# polite = false", "polite = true"), ('# level = "info"', 'level = "debug"'))
        lanes = begin(pair)
        pair.forward("bulk", f"{FAR}:{TARGET}", PORT)
        polite(line, pair, lanes)
        set_lines(pair, ("polite = true", "polite = false"))
        lanes = begin(pair)
        pair.provider("limit", "set", "demo", "--lanes", str(CEILING))
        org_may_have_few("an agent that was not told", line, pair, lanes)
        wait_for_log(pair.agent, REFUSED)
        check("it has asked for more, and the gateway has refused", True)
        set_section(pair.agent_config, "transport", carrier="websocket")
        lanes = begin(pair)
        org_may_have_few("an agent that was told, and goes by WebSocket,", line, pair, lanes)
        check("all of its lanes went by WebSocket", lanes.carriers == {"websocket"}, lanes.carriers)


def set_lines(pair: FarPair, *changes: tuple[str, str]) -> None:
    text = pair.agent_config.read_text()
    for old, new in changes:
        check(f"agent.toml says {new}", text.count(f"\n{old}\n") == 1, text)
        text = text.replace(f"\n{old}\n", f"\n{new}\n")
    pair.agent_config.write_text(text)


def begin(pair: FarPair) -> Lanes:
    """A new session, with nothing left of the one before."""
    pair.stop_agent()
    lanes = Lanes(pair)
    pair.start_agent(*NO_BBR)
    return lanes


def outage(line: WanLine, lanes: Lanes) -> None:
    line.tell("cut both")
    try:
        lanes.look(OUTAGE)  # How long it is dead is what is tried.
    finally:
        line.tell("uncut both")


def check_most(sentence: str, lanes: Lanes, most: int) -> None:
    shown, logged = lanes.most, lanes.most_logged()
    check(f"{sentence} ({shown} at most in status, {logged} in the gateway's log)", shown <= most and logged <= most)


def polite(line: WanLine, pair: FarPair, lanes: Lanes) -> None:
    pair.python(line.near, SOURCE, name="source")
    lanes.look(6)
    before = pair.status()["lanes"]
    # A dial that has said HELLO and then loses a packet meets the next one: for a round trip both are lanes at the gateway,
    # until the agent closes the later one.
    line.shape(CLEAN)
    outage(line, lanes)
    lanes.look(6)
    line.shape(LOSSY)
    check_most("a polite agent has one lane, in bulk and after an outage", lanes, 1)
    after = pair.status()["lanes"]
    check("after it, this is another one, with bulk",
          len(after) == 1 and after[0]["id"] != before[0]["id"] and after[0]["sent_bytes"] > 1 << 18, (before, after))


def org_may_have_few(who: str, line: WanLine, pair: FarPair, lanes: Lanes) -> None:
    pair.python(line.near, SOURCE, name="source")
    seen = lanes.look(25, enough=2)
    check(f"{who} has {seen} lanes for bulk on such a line", seen > 1)
    lanes.look(2)
    outage(line, lanes)
    seen = lanes.look(10, enough=CEILING)
    lanes.look(2)  # More would come now.
    check(f"after an outage it has {seen}", seen == CEILING, pair.agent.log_end(40))
    check_most(f"and never more than {CEILING}", lanes, CEILING)


main(scenario)
