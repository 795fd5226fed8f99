#!/usr/bin/env python3
"""./dev bench outages: a PostgreSQL standby and an NBD mirror behind one tunnel live through a long outage and many
short ones, and end equal to their sources. About 13 minutes with the defaults; exit code 1 when anything was lost.

example: ./dev bench outages --outage 30 --cuts 50 --seed 7
"""
import argparse
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "system")]
from demo import MIB, compare, make_image, serve_disk  # noqa: E402
from local_pair import Process, wait_until  # noqa: E402
from support.play import Scenario, play  # noqa: E402
from support.postgres import Postgres, skip_without_postgres  # noqa: E402

TRANSACTIONS_PER_SECOND = 60
PATIENT = {"wal_sender_timeout": "15min", "wal_receiver_timeout": "15min"}  # docs/timeouts.md
MIRROR_BYTES_PER_SECOND = 1 << 20
LONGEST_SECONDS = {"cut": 1.5, "stall": 3.0}  # A stall of more than 2.5 s takes the lanes with it.
LONGEST_UP_SECONDS = 2.0
MOST_BACK_SECONDS = 1.5  # After the long outage.


def planned_seconds(options: argparse.Namespace) -> float:
    each = sum(LONGEST_SECONDS.values()) / 2 / 2 + LONGEST_UP_SECONDS / 2
    return options.outage + options.cuts * each + 30


class Replicas:
    """Both replications, running."""

    def __init__(self, scenario: Scenario, seconds: float):
        self.scenario, self.pair = scenario, scenario.pair
        self.primary, self.standby = Postgres(scenario, "primary"), Postgres(scenario, "standby")
        self.start_standby()
        self.load = self.primary.long_tool("pgbench", "-n", "-c", 2, "-R", TRANSACTIONS_PER_SECOND, "-T", 7200,
                                           *self.primary.address, "postgres")
        self.start_mirror(int(seconds * MIRROR_BYTES_PER_SECOND / MIB))

    def start_standby(self) -> None:
        self.primary.make_new()
        self.primary.start(**PATIENT)
        port = self.pair.add_forward("dr-db", self.primary.port)
        self.primary.tool("pgbench", "-i", "-q", "-s", 5, *self.primary.address, "postgres")
        self.standby.copy_from(port)
        self.standby.start(**PATIENT)
        wait_until("the standby streaming", lambda: self.standby.receiver() != "", 30)
        self.receiver = self.standby.receiver()

    def start_mirror(self, mib: int) -> None:
        folder = self.scenario.folder
        self.source, self.mirror = folder / "source.raw", folder / "mirror.raw"
        make_image(self.source, mib)
        with open(self.mirror, "wb") as empty:
            empty.truncate(mib * MIB)
        server, port = serve_disk(self.mirror, folder / "qemu-nbd.log")
        self.scenario.keep(server)
        url = f"nbd://127.0.0.1:{self.pair.add_forward('disk', port)}/disk"
        self.copier = self.scenario.keep(Process(
            ["qemu-img", "convert", "-n", "-p", "-r", str(MIRROR_BYTES_PER_SECOND), "-f", "raw", "-O", "raw",
             str(self.source), url], folder / "qemu-img.log"))

    def check_running(self, when: str) -> None:
        self.scenario.check(f"both replications run {when}", self.copier.alive() and self.load.alive() and
                            self.standby.receiver() == self.receiver, self.copier.log_end())

    def finish(self) -> None:
        check = self.scenario.check
        check("pgbench wrote all the time", self.load.alive(), self.load.log_end())
        self.load.stop()
        wait_until("the mirror complete", lambda: not self.copier.alive(), 900)
        check("qemu-img ended well", self.copier.process.returncode == 0, self.copier.log_end())
        position = self.primary.written()
        wait_until("the standby replaying everything", lambda: self.standby.replayed(position), 120)
        check("the standby's receiver is the process of the beginning", self.standby.receiver() == self.receiver,
              self.standby.receiver())
        count = int(self.primary.sql("SELECT count(*) FROM pgbench_history"))
        check(f"primary and standby are equal after {count} transactions", self.primary.dump() == self.standby.dump())
        check(f"source and mirror are equal: {compare(self.source, self.mirror)}", True)


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


def body(scenario: Scenario, options: argparse.Namespace) -> None:
    pair = scenario.start_pair()
    chance = random.Random(options.seed)
    scenario.note(f"seed {options.seed}; it takes about {planned_seconds(options) / 60:.0f} min")
    replicas = Replicas(scenario, planned_seconds(options))
    before = pair.status()  # pg_basebackup ends its second stream with a reset of its own.
    interrupt(scenario, options.cuts // 2, chance)
    replicas.check_running("before the long outage")
    scenario.note(f"an outage of {options.outage:g} s begins")
    pair.line.stall()
    time.sleep(options.outage)
    scenario.check("the agent says that the session is stalled", pair.status()["session"]["state"] == "stalled",
                   pair.status()["session"])
    pair.line.mend()
    mended = time.monotonic()
    wait_until("the session's return", lambda: pair.status()["session"]["state"] == "up", 15)
    took = time.monotonic() - mended
    scenario.check(f"the line is back, and the session {took:.1f} s later, {MOST_BACK_SECONDS} s at most",
                   took <= MOST_BACK_SECONDS)
    replicas.check_running("after the long outage")
    interrupt(scenario, options.cuts - options.cuts // 2, chance)
    wait_until("the session's return", lambda: pair.status()["session"]["state"] == "up", 15)
    replicas.finish()
    after = pair.status()
    scenario.check("no stream was reset", after["streams"]["reset_total"] == before["streams"]["reset_total"],
                   after["streams"])
    scenario.check("it was one session from beginning to end", after["session"]["id"] == before["session"]["id"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=300, help="seconds of the long outage (default 300)")
    parser.add_argument("--cuts", type=int, default=200, help="short outages, half of them before the long one (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of kinds and lengths of the short ones (default 1)")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parse()
    skip_without_postgres()
    play(lambda scenario: body(scenario, chosen), needs=("qemu-img", "qemu-nbd"))
