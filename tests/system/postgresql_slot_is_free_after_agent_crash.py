#!/usr/bin/env python3
"""kill -9 of the agent under a PostgreSQL standby with a slot: it streams again within 5 s of the agent's start."""
import time

from support.play import Scenario, play
from support.postgres import Postgres, skip_without_postgres

from local_pair import wait_until

SLOT = "dr"
# PostgreSQL waits this long between two attempts; its default, 5 s, would by itself use up the time allowed here.
RETRY = {"wal_retrieve_retry_interval": "500ms"}
ALLOWED_SECONDS = 5


def scenario_body(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    primary, standby = Postgres(scenario, "primary"), Postgres(scenario, "standby")
    primary.make_new()
    primary.start()
    primary.sql("CREATE TABLE words (word text)")
    port = pair.add_forward("dr-db", primary.port)
    standby.copy_from(port, "--create-slot", "--slot", SLOT)
    standby.start(**RETRY)
    wait_until("the standby streaming", lambda: standby.receiver() != "")
    scenario.check("the standby uses the slot",
                   primary.sql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'") == "t")

    for down_seconds in (0, 3):
        receiver = standby.receiver()
        pair.agent.kill()
        wait_until("the standby losing its stream", lambda: standby.receiver() == "")
        primary.sql(f"INSERT INTO words VALUES ('written while the agent was down for {down_seconds} s')")
        position = primary.written()
        time.sleep(down_seconds)  # How long the agent is away is what is tried.
        started = time.monotonic()
        pair.start_agent()
        wait_until("the standby streaming again", lambda: standby.receiver() not in ("", receiver), 60)
        took = time.monotonic() - started
        scenario.check(f"the standby streams again {took:.1f} s after the start of an agent that was away for "
                       f"{down_seconds} s; allowed are {ALLOWED_SECONDS} s", took <= ALLOWED_SECONDS)
        wait_until("the standby replaying what was written meanwhile", lambda: standby.replayed(position), 10)
        scenario.check("the forward kept its port", pair.status()["forwards"][0]["port"] == port)
    scenario.check("primary and standby are equal", primary.dump() == standby.dump())


if __name__ == "__main__":
    skip_without_postgres()
    play(scenario_body)
