#!/usr/bin/env python3
"""rsync pushes a tree of many sizes to a daemon behind the tunnel and pulls it back, each with the line cut once."""
import hashlib
import os
import threading
import time
from pathlib import Path

from support.play import Scenario, play

from local_pair import Process, accepts, free_port, wait_until

MIB = 1 << 20
CUT_AFTER_BYTES = 6 * MIB  # In the middle of the 20 MiB file or of its neighbours.


def make_tree(root: Path) -> None:
    (root / "empty folder").mkdir(parents=True)
    sizes = [0, 1, 2, 1447, 1448, 4095, 4096, 4097, 16383, 16384, 16385, 65536, MIB - 1, MIB, 20 * MIB]
    for number, size in enumerate(sizes):
        folder = root / f"folder {number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"file of {size} bytes").write_bytes(os.urandom(size))
    for number in range(300):
        (root / "folder 0" / f"small {number:03}").write_bytes(os.urandom(number * 7))
    with open(root / "sparse", "wb") as sparse:
        sparse.truncate(8 * MIB)
        sparse.seek(3 * MIB)
        sparse.write(b"an island in a sea of zeros")
    (root / "link").symlink_to("sparse")
    (root / "folder 0" / "small 007").chmod(0o640)


def described(root: Path) -> dict[str, tuple]:
    """Every entry with what makes it equal to another: kind, mode, time of change, contents."""
    entries = {}
    for path in sorted(root.rglob("*")):
        about = path.lstat()
        if path.is_symlink():
            what = os.readlink(path)
        else:
            what = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        entries[str(path.relative_to(root))] = (what, oct(about.st_mode), int(about.st_mtime))
    return entries


def equal(found: dict, expected: dict) -> tuple[bool, list]:
    """Whether they are, and the first entries that differ."""
    different = sorted(set(found.items()) ^ set(expected.items()))
    return not different, different[:4]


def start_daemon(scenario: Scenario, stored: Path) -> int:
    port, config = free_port(), scenario.folder / "rsyncd.conf"
    config.write_text(f"use chroot = no\nlock file = {scenario.folder}/rsyncd.lock\n"
                      f"[tree]\npath = {stored}\nread only = no\nmunge symlinks = no\n"
                      f"uid = {os.getuid()}\ngid = {os.getgid()}\n")
    scenario.keep(Process(["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={port}",
                           f"--config={config}", f"--log-file={scenario.folder}/rsyncd.log"],
                          scenario.folder / "rsyncd-start.log"))
    wait_until("the rsync daemon accepting", lambda: accepts(port))
    return port


def copy_with_a_cut(scenario: Scenario, source: str, target: str) -> None:
    line, pair, open_streams = scenario.pair.line, scenario.pair, []
    start = line.carried_bytes

    def cut() -> None:
        wait_until("rsync under way", lambda: line.carried_bytes > start + CUT_AFTER_BYTES)
        line.cut()
        wait_until("the agent noticing the cut", lambda: pair.status()["session"]["state"] != "up", 5)
        open_streams.append(pair.status()["streams"]["open"])
        time.sleep(1)  # The length of the outage is what is tried.
        line.mend()

    cutter = threading.Thread(target=cut)
    cutter.start()
    # Limited, so that the cut falls inside the copy on a fast machine too.
    scenario.run("rsync", "-a", "--whole-file", "--bwlimit=20m", source, target)
    cutter.join()
    scenario.check("the line was cut while rsync's stream was open", open_streams == [1], open_streams)


def scenario_body(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    source, stored, back = (scenario.folder / name for name in ("source", "stored", "back"))
    make_tree(source)
    stored.mkdir()
    port = pair.add_forward("files", start_daemon(scenario, stored))
    url = f"rsync://127.0.0.1:{port}/tree/"
    expected = described(source)

    copy_with_a_cut(scenario, f"{source}/", url)
    scenario.check(f"{len(expected)} pushed entries are equal", *equal(described(stored), expected))
    copy_with_a_cut(scenario, url, f"{back}/")
    scenario.check("the same entries pulled back are equal", *equal(described(back), expected))
    scenario.run("rsync", "-a", "--delete", "--checksum", f"{source}/", url)
    scenario.check("a second push by checksum changes nothing", *equal(described(stored), expected))
    scenario.check("no stream was reset", pair.status()["streams"]["reset_total"] == 0, pair.status()["streams"])


if __name__ == "__main__":
    play(scenario_body, needs=("rsync",))
