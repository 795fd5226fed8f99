"""What processes cost: CPU time and memory of a program with all that it has started, and what machine this is."""
from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
import paths  # noqa: F401
from local_pair import PairError

TICKS = os.sysconf("SC_CLK_TCK")
PACKAGES = ("libssl3", "stunnel4", "haproxy", "nginx", "openssh-client", "openssh-server", "socat")


def say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def family(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(_stat(int(name))[1]), []).append(int(name))
            except (OSError, IndexError):
                continue  # Ended meanwhile.
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid` and its descendants, of those that have ended as well."""
    ticks = 0
    for member in family(pid):
        try:
            ticks += sum(map(int, _stat(member)[11:15]))
        except OSError:
            continue
    return ticks / TICKS


def memory_kib(pid: int, file: str, key: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise PairError(f"/proc/{pid}/{file} has no {key}")


def own_memory_kib(pid: int) -> int:
    """Of `pid` and its descendants, without pages of files, whose share depends on who else runs the same libraries."""
    kib = 0
    for member in family(pid):
        try:
            kib += memory_kib(member, "smaps_rollup", "Pss_Anon") + memory_kib(member, "smaps_rollup", "Pss_Shmem")
        except OSError:
            continue
    return kib


def settled_memory_kib(pids: list[int], seconds: float = 12) -> list[int]:
    """own_memory_kib() of each once all have stayed within 0.5 % for two seconds: streams give back after a second or so."""
    deadline, last, calm = time.monotonic() + seconds, [own_memory_kib(pid) for pid in pids], 0
    while calm < 2 and time.monotonic() < deadline:
        time.sleep(1)
        now = [own_memory_kib(pid) for pid in pids]
        calm = calm + 1 if all(abs(n - l) <= max(16, l // 200) for n, l in zip(now, last)) else 0
        last = now
    return last


def _told_by(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parent).stdout.strip()
    except OSError:
        return ""


def machine() -> dict:
    """What a figure has to be read with."""
    model = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    versions = dict(line.split() for line in _told_by("dpkg-query", "-W", *PACKAGES).splitlines() if len(line.split()) == 2)
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "cpu": model[0] if model else "unknown",
            "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "openssl": _told_by("openssl", "version"),
            "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
            "versions": versions, "culvert": _told_by("git", "describe", "--always", "--dirty", "--tags"),
            "load_before": os.getloadavg()[0]}
