"""bench-load: one sink for everything that is compared, and sources as they are asked for."""
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Sequence

from local_pair import BIN, PairError, Process


class Load:
    """`near` and `far` are words before the sources' and the sink's command, for other network namespaces."""

    def __init__(self, folder: Path, near: Sequence[str] = (), far: Sequence[str] = (), listen: str = "127.0.0.1:0"):
        self._near = list(near)
        self.sink = Process([*far, str(BIN / "bench-load"), "sink", "--listen", listen], folder / "sink.log")
        first = self.sink.process.stdout.readline().split()
        if not first:
            raise PairError(f"the sink did not start:\n{self.sink.log_end()}")
        self.port = int(first[1])

    def command(self, mode: str, to: list, **options: object) -> list[str]:
        """`to` are ports of loopback or ADDRESS:PORT; an option warm_up_ms is --warm-up-ms."""
        words = [*self._near, str(BIN / "bench-load"), mode]
        for endpoint in to:
            words += ["--to", str(endpoint)]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        return words

    def run(self, mode: str, to: list, **options: object) -> dict:
        done = subprocess.run(self.command(mode, to, **options), capture_output=True, text=True, timeout=900,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise PairError(f"bench-load {mode} failed: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def stop(self) -> None:
        self.sink.stop()
