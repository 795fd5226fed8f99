#!/usr/bin/env python3
"""Replicates a disk image with QEMU's own tools through agent and gateway, and cuts the line half-way.

    source.raw -> qemu-img convert -> culvert-agent ==(line, cut once)== culvert-gateway -> qemu-nbd -> target.raw

Ends with 0 when both images are equal. Stops everything it started, also on Ctrl-C and when its terminal is closed.
"""
import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent))
from local_pair import BIN, ROOT, LocalPair, PairError, Process, accepts, free_port, wait_until  # noqa: E402

MIB = 1 << 20
CUT_AT_PERCENT = 40.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROGRESS = re.compile(rb"\(([0-9.]+)/100%\)")


def say(text: str) -> None:
    print(text, flush=True)


def make_image(path: Path, size_mib: int) -> None:
    with open(path, "wb") as image:
        for _ in range(size_mib):
            image.write(os.urandom(MIB))


def cut_and_mend(pair: LocalPair, down_seconds: float) -> None:
    before = pair.status()
    pair.line.cut()
    began = time.monotonic()
    say(f"       the line is cut for {down_seconds:g} s …")
    wait_until("the agent noticing the cut", lambda: pair.status()["session"]["state"] != "up", 10)
    seen = pair.status()
    say(f"       agent after {time.monotonic() - began:.1f} s: session {seen['session']['state']}, "
        f"{seen['streams']['open']} stream(s) still open, {seen['backlog_bytes'] / MIB:.1f} MiB kept")
    time.sleep(max(0.0, began + down_seconds - time.monotonic()))
    pair.line.mend()
    mended = time.monotonic()
    wait_until("the session's return", lambda: pair.status()["session"]["state"] == "up")
    after = pair.status()
    if after["session"]["id"] != before["session"]["id"]:
        raise PairError(f"the agent came back with a new session; see {pair.agent.log}")
    say(f"       the line is back; {time.monotonic() - mended:.1f} s later the same session goes on over a new lane")


def serve_disk(image: Path, log: Path) -> tuple[Process, int]:
    """An NBD server with `image` as export "disk"; and its port."""
    port = free_port()
    server = Process(["qemu-nbd", "--persistent", "--format=raw", "--export-name=disk", "--bind=127.0.0.1",
                      f"--port={port}", "--cache=writeback", str(image)], log)
    try:
        wait_until("qemu-nbd accepting", lambda: accepts(port))
    except BaseException:
        server.stop()
        raise
    return server, port


def convert(source: str, target: str, log: Path, halfway: Callable[[], None]) -> float:
    """qemu-img convert -n; calls `halfway` once, when it reports CUT_AT_PERCENT. Seconds it took."""
    began = time.monotonic()
    command = ["qemu-img", "convert", "-n", "-p", "-f", "raw", "-O", "raw", source, target]
    say("  $ " + " ".join(command))
    with open(log, "wb") as sink:
        copier = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdout=subprocess.PIPE, stderr=sink,
                                  stdin=subprocess.DEVNULL)
    called, next_shown = False, 0.0
    try:
        while piece := os.read(copier.stdout.fileno(), 4096):
            for percent in map(float, PROGRESS.findall(piece)):
                if percent >= next_shown:
                    say(f"  {percent:5.1f} %  {time.monotonic() - began:5.1f} s")
                    next_shown = percent - percent % 10 + 10
                if not called and CUT_AT_PERCENT <= percent < 100:
                    called = True
                    halfway()
        if copier.wait() != 0:
            raise PairError(f"qemu-img ended with {copier.returncode}: {log.read_text(errors='replace').strip()}")
    finally:
        if copier.poll() is None:
            copier.kill()
            copier.wait()
        copier.stdout.close()
    if not called:
        raise PairError("qemu-img reported no progress between 40 and 100 %; use a larger --size-mib")
    return time.monotonic() - began


def compare(source: Path, target: Path) -> str:
    """QEMU's own verdict on two equal images; PairError if they differ."""
    done = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", str(source), str(target)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise PairError(f"the images differ: {done.stdout.strip()} {done.stderr.strip()}")
    return done.stdout.strip()


def demo(folder: Path, size_mib: int, down_seconds: float) -> None:
    pair, nbd = LocalPair(folder), None
    try:
        say("starting gateway and agent on loopback, enrolling the agent with a joining string")
        pair.start_new()
        say(f"making a disk image of {size_mib} MiB and an NBD server with an empty one")
        source, target = folder / "source.raw", folder / "target.raw"
        make_image(source, size_mib)
        with open(target, "wb") as image:
            image.truncate(size_mib * MIB)
        nbd, nbd_port = serve_disk(target, folder / "qemu-nbd.log")
        port = pair.add_forward("disk", nbd_port)
        say(f"agent port {port} leads to target 'disk' behind the gateway; look at it while this runs:")
        say(f"  {BIN / 'culvert-agent'} status --config {pair.agent_config}")
        say("replicating")
        seconds = convert(str(source), f"nbd://127.0.0.1:{port}/disk", folder / "qemu-img.log",
                          lambda: cut_and_mend(pair, down_seconds))
        status = pair.status()
        nbd.stop()
        say("comparing both images")
        verdict = compare(source, target)
        resets = status["streams"]["reset_total"]
        say(f"\n{verdict}")
        say(f"{size_mib} MiB in {seconds:.1f} s with {down_seconds:g} s of cut line in it: "
            f"{size_mib / seconds:.0f} MiB/s, {size_mib / (seconds - down_seconds):.0f} MiB/s while the line was up")
        say(f"streams reset: {resets}; qemu-img and qemu-nbd never noticed")
    except BaseException:
        if pair.agent is not None and pair.agent.log.exists():
            with contextlib.suppress(OSError):  # The terminal may be gone.
                say(f"\nlogs: {folder}/*.log")
        raise
    finally:
        for each in STOPPING:
            signal.signal(each, signal.SIG_IGN)  # A second one must not interrupt the tidying up.
        if nbd is not None:
            nbd.stop()
        pair.stop()
        for image in folder.glob("*.raw"):
            image.unlink()


def leave(number: int, _frame: object) -> None:
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)  # A terminal that closes may say so twice.
    sys.exit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--size-mib", type=int, default=1024, help="size of the disk image in MiB (default 1024)")
    parser.add_argument("--down-seconds", type=float, default=3.0, help="how long the line is cut (default 3)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "demo", help="where everything is put")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: it is to survive the terminal.
        signal.signal(signal.SIGHUP, leave)
    for tool in ("qemu-img", "qemu-nbd"):
        if shutil.which(tool) is None:
            print(f"demo: {tool} is missing; run ./dev setup demo", file=sys.stderr)
            return 1
    try:
        demo(arguments.folder.resolve(), arguments.size_mib, arguments.down_seconds)
    except PairError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped; nothing is left running", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
