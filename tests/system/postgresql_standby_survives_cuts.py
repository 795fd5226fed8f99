#!/usr/bin/env python3
"""A PostgreSQL standby behind the tunnel never notices that the line is cut and stalled, up to 45 s, under load."""
import threading
import time

from support.play import Scenario, play
from support.postgres import Postgres, skip_without_postgres

from local_pair import wait_until

OUTAGES = [("cut", 1), ("stall", 1), ("cut", 4), ("stall", 3), ("cut", 8), ("stall", 45), ("cut", 2)]
TRANSACTIONS_PER_SECOND = 60  # Enough for a steady stream of log, and little for a machine with two cores.


def outage(scenario: Scenario, kind: str, seconds: float) -> None:
    line, pair = scenario.pair.line, scenario.pair
    (line.cut if kind == "cut" else line.stall)()
    time.sleep(seconds)  # The length of the outage is what is tried.
    line.mend()
    wait_until("the session's return", lambda: pair.status()["session"]["state"] == "up", 15)


def scenario_body(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    primary, standby = Postgres(scenario, "primary"), Postgres(scenario, "standby")
    primary.make_new()
    primary.start()
    port = pair.add_forward("dr-db", primary.port)
    primary.tool("pgbench", "-i", "-q", "-s", 5, *primary.address, "postgres")

    before, left = pair.line.carried_bytes, []

    def cut_inside_the_copy() -> None:
        wait_until("the base backup under way", lambda: pair.line.carried_bytes > before + (8 << 20))
        outage(scenario, "cut", 2)
        left.append(pair.line.carried_bytes)

    cutter = threading.Thread(target=cut_inside_the_copy)
    cutter.start()
    standby.copy_from(port)
    cutter.join()
    scenario.check("pg_basebackup copied the primary through the tunnel, with the line cut for 2 s in the middle",
                   left and pair.line.carried_bytes > left[0])

    standby.start()
    wait_until("the standby streaming", lambda: standby.receiver() != "", 30)
    receiver, session = standby.receiver(), pair.status()["session"]["id"]
    load = primary.long_tool("pgbench", "-n", "-c", 2, "-R", TRANSACTIONS_PER_SECOND, "-T", 600, *primary.address,
                             "postgres")
    for kind, seconds in OUTAGES:
        outage(scenario, kind, seconds)
        position = primary.written()
        wait_until("the standby catching up", lambda: standby.replayed(position), 30)
        scenario.check(f"after a {kind} of {seconds} s the standby caught up and its receiver is the same process",
                       standby.receiver() == receiver, standby.receiver())
    scenario.check("pgbench wrote all the time", load.alive(), load.log_end())
    load.stop()
    scenario.check("it was one session from beginning to end", pair.status()["session"]["id"] == session)

    position = primary.written()
    wait_until("the standby replaying everything", lambda: standby.replayed(position), 30)
    transactions = int(primary.sql("SELECT count(*) FROM pgbench_history"))
    scenario.check(f"primary and standby are equal after {transactions} transactions",
                   transactions > 0 and primary.dump() == standby.dump())
    # pg_ctl asks before the standby takes questions; PostgreSQL logs that as FATAL.
    log = standby.log.read_text(errors="replace").replace("FATAL:  the database system is starting up", "")
    scenario.check("the standby's log has one start of streaming and no error",
                   log.count("started streaming WAL") == 1 and "ERROR" not in log and "FATAL" not in log)


if __name__ == "__main__":
    skip_without_postgres()
    play(scenario_body)
