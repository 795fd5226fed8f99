"""The frame of a system test: a scratch folder, a pair of daemons, things to stop, one sentence per check."""
from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from local_pair import LocalPair, PairError, Process
from support.scenario import SKIPPED, Skip


class Scenario:
    """What a scenario gets: `folder`, a running `pair`, and `stack` for everything that has to be stopped."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack):
        self.folder, self.stack, self.pair = folder, stack, LocalPair(folder / "pair")
        self._began = time.monotonic()

    def start_pair(self) -> LocalPair:
        self.stack.callback(self.pair.stop)
        self.pair.start_new()
        return self.pair

    def keep(self, process: Process) -> Process:
        """Stops `process` at the end of the scenario."""
        self.stack.callback(process.stop)
        return process

    def check(self, sentence: str, holds: object, why: object = "") -> None:
        if not holds:
            raise PairError(f"not so: {sentence}" + (f" ({why})" if why != "" else ""))
        self.note(sentence)

    def note(self, sentence: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {sentence}", flush=True)

    @staticmethod
    def run(*words: object, seconds: float = 120, **options: object) -> str:
        """Runs a foreign program to its end; its stdout. PairError with its stderr if it fails."""
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, **options)
        if done.returncode != 0:
            raise PairError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


def play(scenario: Callable[[Scenario], None], needs: tuple[str, ...] = (), group: str = "test") -> None:
    """Runs the scenario and ends this process: 0 when it holds, 1 when not, 77 when a program of `needs` is missing, which
    stand in `group` of scripts/packages.txt, or it raises Skip."""
    for program in needs:
        if shutil.which(program) is None:
            print(f"skipped: {program} is missing; run ./dev setup {group}", file=sys.stderr)
            sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Not under the caller's home: servers that refuse to be root have to enter it as somebody else.
    with tempfile.TemporaryDirectory(prefix="culvert-test-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            with contextlib.ExitStack() as stack:
                scenario(Scenario(folder, stack))
        except Skip as lack:
            print(f"skipped: {lack}", file=sys.stderr)
            sys.exit(SKIPPED)
        except (PairError, subprocess.TimeoutExpired) as error:
            print(f"FAILED: {error}", file=sys.stderr)
            for log in sorted(folder.rglob("*.log")):
                end = log.read_text(errors="replace").splitlines()[-40:]
                print(f"--- end of {log.name}", *end, sep="\n", file=sys.stderr)
            sys.exit(1)
    sys.exit(0)
