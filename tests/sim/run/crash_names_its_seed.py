#!/usr/bin/env python3
"""PROGRAM: whatever signal ends a running sim_run, the seed of the thread that got it stands on stderr.

Under ASan some of these signals become its own report first, which has to end with the seed all the same.
"""
import ctypes
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

SIGNALS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
PATIENCE_S = 60
NAMED = re.compile(r"^seed ([1-9]\d*) crashed: replay with \./dev sim \1$", re.MULTILINE)


def cpu_ticks(thread: Path) -> int:
    fields = (thread / "stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return int(fields[11])  # utime; the state, behind the name, is the first.


def worker_of(process: subprocess.Popen) -> int:
    """The thread that runs seeds, once it does."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            if int(thread.name) != process.pid and cpu_ticks(thread) >= 2:
                return int(thread.name)
        time.sleep(0.01)
    raise TimeoutError("no thread of sim_run is at work")


def crash(program: str, number: signal.Signals) -> str | None:
    """What is wrong with how the program ends of this signal."""
    with subprocess.Popen([program, "--jobs", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, errors="replace") as process:
        try:
            # To the worker: kill() would leave the choice of the thread to the kernel.
            if ctypes.CDLL(None).tgkill(process.pid, worker_of(process), int(number)) != 0:
                return "the signal was not sent"
            _, said = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    if not NAMED.search(said):
        return f"no seed in {said!r}"
    if process.returncode >= 0:
        return f"ended with {process.returncode}, not by a signal"
    return None


def main() -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mistakes = [f"{number.name}: {wrong}" for number in SIGNALS if (wrong := crash(sys.argv[1], number))]
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
