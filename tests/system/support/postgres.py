"""PostgreSQL 15 servers for system tests: a primary, and a standby that streams from it through the tunnel.

Timeouts are PostgreSQL's defaults (wal_sender_timeout and wal_receiver_timeout 60 s): the tunnel has to live with them.
"""
from __future__ import annotations

import os
import pwd
import signal
import sys
from pathlib import Path
from typing import Optional

from local_pair import PairError, Process, as_user, free_port, wait_until
from support.play import SKIPPED, Scenario

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/nowhere"))
ACCOUNT = "nobody"  # Used when we are root, whom PostgreSQL refuses to be.
SUPERUSER = "culvert"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # The machine does not crash in this test, and its disk is shared with other work.
    "shared_buffers": "32MB",
    "wal_keep_size": "1GB",  # What is written during an outage waits on the primary, as with a slot.
    "log_line_prefix": "%m [%p] ",
}


def skip_without_postgres() -> None:
    if not (PROGRAMS / "postgres").exists():
        print("skipped: PostgreSQL is missing; run ./dev setup test", file=sys.stderr)
        sys.exit(SKIPPED)


class Postgres:
    """One server with its own folder, on a free port of loopback and on a socket in that folder."""

    def __init__(self, scenario: Scenario, name: str):
        self.scenario, self.name, self.port = scenario, name, free_port()
        self.home, self.log = scenario.folder / name, scenario.folder / f"{name}.log"
        self.data = self.home / "data"
        self.server: Optional[Process] = None
        self.home.mkdir()
        if os.geteuid() == 0:
            os.chown(self.home, pwd.getpwnam(ACCOUNT).pw_uid, pwd.getpwnam(ACCOUNT).pw_gid)

    def tool(self, name: str, *words: object, seconds: float = 180) -> str:
        return self.scenario.run("setpriv", *as_user(ACCOUNT), PROGRAMS / name, *words, seconds=seconds, cwd=self.home)

    def long_tool(self, name: str, *words: object) -> Process:
        """A tool that runs beside the test, until it ends or SIGINT stops it with the scenario."""
        command = [str(PROGRAMS / name), *map(str, words)]
        return self.scenario.keep(Process(command, self.scenario.folder / f"{name}.log", user=ACCOUNT,
                                          stop_signal=signal.SIGINT))

    @property
    def address(self) -> list[str]:
        return ["-h", str(self.home), "-p", str(self.port), "-U", SUPERUSER]

    def make_new(self) -> None:
        self.tool("initdb", "-D", self.data, "-U", SUPERUSER, "--auth=trust", "--no-sync", "-E", "UTF8")

    def copy_from(self, port: int, *more: object) -> None:
        """A base backup of the primary that answers on `port`, as the beginning of a standby."""
        self.tool("pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", port, "-U", SUPERUSER, "-X", "stream",
                  "-c", "fast", "--no-sync", "--write-recovery-conf", *more)

    def start(self, **more: str) -> None:
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.home), **more}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.server = self.scenario.keep(Process([str(PROGRAMS / "postgres"), "-D", str(self.data), *words], self.log,
                                                 user=ACCOUNT, stop_signal=signal.SIGINT))
        wait_until(f"{self.name} answering queries", self._answers, 60)

    def _answers(self) -> bool:
        if not self.server.alive():
            raise PairError(f"{self.name} ended by itself:\n{self.server.log_end()}")
        try:
            return self.sql("SELECT 1") == "1"
        except PairError:
            return False

    def sql(self, query: str) -> str:
        return self.tool("psql", "-XAtq", *self.address, "-d", "postgres", "-c", query).strip()

    def dump(self) -> list[str]:
        """Every row of every table. Without the lines in which pg_dump writes a new random word each time."""
        text = self.tool("pg_dump", *self.address, "--data-only", "postgres")
        return [line for line in text.splitlines() if not line.startswith(("\\restrict ", "\\unrestrict "))]

    def written(self) -> str:
        """The primary's position in its log."""
        return self.sql("SELECT pg_current_wal_lsn()")

    def replayed(self, position: str) -> bool:
        """Whether the standby has reached `position` of the primary."""
        return self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == "t"

    def receiver(self) -> str:
        """Process id of the standby's receiver while it streams; empty otherwise."""
        return self.sql("SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'")
