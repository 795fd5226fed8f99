#!/usr/bin/env python3
"""A closed terminal, or kill, ends the demo in order: no image of a disk and no program stays behind."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.scenario import Skip, check, main, wait_until

DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo.py"


def left_behind(folder: Path) -> list[str]:
    """Programs that have the folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and int(process.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def scenario(folder: Path) -> None:
    for tool in ("qemu-img", "qemu-nbd"):
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed")
    for number in (signal.SIGHUP, signal.SIGTERM):
        own = folder / number.name
        own.mkdir()
        with open(folder / "said", "wb") as said:
            demo = subprocess.Popen([sys.executable, str(DEMO), "--size-mib", "64", "--down-seconds", "60",
                                     "--folder", str(own)], stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        try:
            wait_until("both images", lambda: demo.poll() is not None or (own / "target.raw").exists(), 60)
            check(f"{number.name}: the demo runs and has images", demo.poll() is None, (folder / "said").read_text())
            demo.send_signal(number)
            demo.send_signal(number)  # As a shell and the kernel do together.
            code = demo.wait(60)
        finally:
            demo.kill()
            demo.wait()
        check(f"{number.name}: its exit code says what ended it", code == 128 + number, (code, (folder / "said").read_text()))
        check(f"{number.name}: no image stays behind", not list(own.glob("*.raw")), list(own.iterdir()))
        check(f"{number.name}: no program either", not left_behind(own), left_behind(own))


main(scenario)
