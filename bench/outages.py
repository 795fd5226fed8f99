#!/usr/bin/env python3
"""./dev bench outages: a PostgreSQL standby and an NBD mirror behind one tunnel live through a long outage, many short
ones and one in which the primary is idle, and end equal to their sources. About 15 minutes with the defaults; exit code 1
when anything was lost.

example: ./dev bench outages --outage 30 --cuts 50 --seed 7
"""
import argparse
import random
import sys
import time
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "system")]
import nbd_mirror  # noqa: E402
from local_pair import PairError, wait_until  # noqa: E402
from support.play import Scenario, play  # noqa: E402
from support.postgres import Postgres, skip_without_postgres  # noqa: E402

TRANSACTIONS_PER_SECOND = 60
PATIENT = {"wal_sender_timeout": "15min", "wal_receiver_timeout": "25min"}  # docs/timeouts.md
DEFAULT = "1min"  # Of both.
LEAST_MIRROR_MIB = 64
LONGEST_SECONDS = {"cut": 1.5, "stall": 3.0}  # A stall of more than 2.5 s takes the lanes with it.
LONGEST_UP_SECONDS = 2.0
MOST_BACK_SECONDS = 1.5  # After an outage.
SILENT_SECONDS = 29.0  # After 30 s, half of its timer, the standby asks the primary for an answer.


def short_outages_seconds(cuts: int) -> float:
    return cuts * (sum(LONGEST_SECONDS.values()) / 2 / 2 + LONGEST_UP_SECONDS / 2)


def planned_seconds(options: argparse.Namespace) -> float:
    idle = 60 + options.idle if options.idle else 0
    return options.outage + short_outages_seconds(options.cuts) + idle + 60


class Standby:
    """A primary under pgbench's load, and its standby behind the tunnel."""

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.primary, self.standby = Postgres(scenario, "primary"), Postgres(scenario, "standby")
        self.primary.make_new()
        self.primary.start()
        port = scenario.pair.add_forward("dr-db", self.primary.port)
        self.primary.tool("pgbench", "-i", "-q", "-s", 5, *self.primary.address, "postgres")
        self.standby.copy_from(port)
        self.standby.start()
        wait_until("the standby streaming", lambda: self.standby.receiver() != "", 30)
        self.receiver = self.standby.receiver()
        self.set_timers(PATIENT)
        self.load = self.primary.long_tool("pgbench", "-n", "-c", 2, "-R", TRANSACTIONS_PER_SECOND, "-T", 7200,
                                           *self.primary.address, "postgres")

    def set_timers(self, wanted: dict[str, str]) -> None:
        """Those not in `wanted` are the defaults. Both servers read them again without a new connection between them."""
        for server, name in ((self.primary, "wal_sender_timeout"), (self.standby, "wal_receiver_timeout")):
            value = wanted.get(name, DEFAULT)
            server.sql(f"ALTER SYSTEM SET {name} = '{value}'" if name in wanted else f"ALTER SYSTEM RESET {name}")
            server.sql("SELECT pg_reload_conf()")
            wait_until(f"{server.name} with {name} = {value}", lambda: server.sql(f"SHOW {name}") == value, 10)

    def streams(self) -> bool:
        """Whether the receiver is still the process of the beginning."""
        return self.standby.receiver() == self.receiver

    def silent_seconds(self) -> float:
        """Since the standby's receiver has last heard from the primary."""
        return float(self.standby.sql("SELECT extract(epoch FROM clock_timestamp() - last_msg_receipt_time) "
                                      "FROM pg_stat_wal_receiver") or 0)

    def wait_for_silence(self) -> float:
        """Until an idle primary has been silent for almost as long as it can be; the silence. Vacuum and checkpoints write
        too, hence the deadline."""
        deadline = time.monotonic() + 420
        while (silent := self.silent_seconds()) < SILENT_SECONDS:
            if time.monotonic() > deadline or not self.streams():
                raise PairError(f"the receiver ended, or the primary was never silent for {SILENT_SECONDS:g} s")
            time.sleep(max(SILENT_SECONDS - silent, 0.01))
        return silent

    def catch_up(self) -> None:
        position = self.primary.written()
        wait_until("the standby replaying everything", lambda: self.standby.replayed(position), 120)

    def stop_load(self) -> None:
        self.scenario.check("pgbench wrote all the time", self.load.alive(), self.load.log_end())
        self.load.stop()
        self.catch_up()

    def finish(self) -> None:
        check = self.scenario.check
        self.catch_up()
        check("the standby's receiver is the process of the beginning", self.streams(), self.standby.receiver())
        count = int(self.primary.sql("SELECT count(*) FROM pgbench_history"))
        check(f"primary and standby are equal after {count} transactions",
              count > 0 and self.primary.dump() == self.standby.dump())


class Replicas:
    """Both replications, running."""

    def __init__(self, scenario: Scenario, options: argparse.Namespace):
        self.scenario = scenario
        self.standby = Standby(scenario)
        # At the first copy's pace, which stands still while the line is down, it takes most of the first short outages.
        mib = max(LEAST_MIRROR_MIB, int(short_outages_seconds(options.cuts // 2)))
        self.mirror = nbd_mirror.Mirror(scenario, mib, options.seed)

    def check_running(self, when: str) -> None:
        self.scenario.check(f"the standby streams {when}", self.standby.streams() and self.standby.load.alive(),
                            self.standby.standby.server.log_end())
        self.scenario.check(f"the mirror goes on {when}, {self.mirror.writer.count} writes so far", self.mirror.goes_on(),
                            self.mirror.why_not())


def interrupt(scenario: Scenario, cuts: int, chance: random.Random) -> None:
    """Does not wait for the session's return: many cuts fall into a resume."""
    line = scenario.pair.line
    for number in range(1, cuts + 1):
        kind = chance.choice(list(LONGEST_SECONDS))
        (line.cut if kind == "cut" else line.stall)()
        time.sleep(chance.uniform(0, LONGEST_SECONDS[kind]))
        line.mend()
        time.sleep(chance.uniform(0, LONGEST_UP_SECONDS))
        if number % 20 == 0:
            scenario.note(f"{number} of {cuts} short outages")


def wait_for_session(scenario: Scenario) -> None:
    wait_until("the session's return", lambda: scenario.pair.status()["session"]["state"] == "up", 15)


def stall(scenario: Scenario, seconds: float, at_its_end: Callable[[], None] = lambda: None) -> None:
    """A dead line, what has to be so just before it is mended, and the session's return in time."""
    pair = scenario.pair
    pair.line.stall()
    time.sleep(seconds)
    session = pair.status()["session"]
    scenario.check("the agent says that the session is stalled", session["state"] == "stalled", session)
    at_its_end()
    pair.line.mend()
    mended = time.monotonic()
    wait_for_session(scenario)
    took = time.monotonic() - mended
    scenario.check(f"the line is back, and the session {took:.1f} s later, {MOST_BACK_SECONDS} s at most",
                   took <= MOST_BACK_SECONDS)


def long_outage(scenario: Scenario, replicas: Replicas, seconds: float) -> None:
    replicas.check_running("before the long outage")
    writer = replicas.mirror.writer
    written = writer.count
    scenario.note(f"an outage of {seconds:g} s begins")
    stall(scenario, seconds, lambda: scenario.check("the source of the mirror was written to in between",
                                                    writer.count > written))
    replicas.check_running("after the long outage")


def idle_outage(scenario: Scenario, standby: Standby, seconds: float) -> None:
    """PostgreSQL's defaults, an idle primary, and the worst moment: half of the standby's timer is gone already."""
    standby.set_timers({})
    silent = standby.wait_for_silence()
    scenario.note(f"default timeouts, the primary idle and silent for {silent:.1f} s: an outage of {seconds:g} s begins")
    stall(scenario, seconds)
    wait_until("the standby hearing from its primary", lambda: standby.silent_seconds() < 10, 10)
    scenario.check("the standby's receiver is the same process after it", standby.streams(),
                   standby.standby.server.log_end())


def body(scenario: Scenario, options: argparse.Namespace) -> None:
    pair = scenario.start_pair()
    chance = random.Random(options.seed)
    scenario.note(f"seed {options.seed}, of the outages and of the writes; it takes about "
                  f"{planned_seconds(options) / 60:.0f} min")
    replicas = Replicas(scenario, options)
    before = pair.status()  # pg_basebackup ends its second stream with a reset of its own.
    interrupt(scenario, options.cuts // 2, chance)
    wait_for_session(scenario)
    replicas.mirror.wait_until_ready()
    long_outage(scenario, replicas, options.outage)
    interrupt(scenario, options.cuts - options.cuts // 2, chance)
    wait_for_session(scenario)
    replicas.check_running("after all short outages")
    replicas.standby.stop_load()
    if options.idle:
        idle_outage(scenario, replicas.standby, options.idle)
    replicas.standby.finish()
    replicas.mirror.finish()
    after = pair.status()
    for word in ("reset", "opened"):
        scenario.check(f"no stream was {word} since the beginning",
                       after["streams"][f"{word}_total"] == before["streams"][f"{word}_total"], after["streams"])
    scenario.check("it was one session from beginning to end", after["session"]["id"] == before["session"]["id"])
    replicas.mirror.compare()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=300, help="seconds of the long outage (default 300)")
    parser.add_argument("--cuts", type=int, default=200, help="short outages, half of them before the long one (default 200)")
    parser.add_argument("--idle", type=float, default=28,
                        help="seconds of the outage with an idle primary and default timeouts; 0: none (default 28)")
    parser.add_argument("--seed", type=int, default=1,
                        help="of kinds and lengths of the short outages, and of the writes (default 1)")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parse()
    skip_without_postgres()
    play(lambda scenario: body(scenario, chosen), needs=nbd_mirror.NEEDS, group="bench")
