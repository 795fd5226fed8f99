"""Two machines with a cable between them, as network namespaces without a name: they end with the programs in them."""
from __future__ import annotations

import os
import shutil
import subprocess

from support.scenario import Skip, wait_until

NEAR, FAR = "10.79.0.1", "10.79.0.2"
ABSENT = "10.79.0.9"  # Of the same network, and nobody's.


class TwoHosts:
    """Words before a command of either end: `near` and `far`. Needs root, ip, nsenter, unshare and nft."""

    def __init__(self) -> None:
        lacks = [name for name in ("ip", "nft", "nsenter", "unshare") if shutil.which(name) is None]
        if os.geteuid() != 0 or lacks:
            raise Skip(f"{', '.join(lacks)} not installed" if lacks else "it needs root to make network namespaces")
        own = os.readlink("/proc/self/ns/net")
        self._holders = [subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
                         for _ in range(2)]
        for holder in self._holders:
            wait_until("a network namespace", lambda pid=holder.pid: os.readlink(f"/proc/{pid}/ns/net") != own)
        self.near, self.far = (["nsenter", f"--net=/proc/{holder.pid}/ns/net"] for holder in self._holders)
        far_pid = str(self._holders[1].pid)
        command(*self.near, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far_pid)
        for end, address in ((self.near, NEAR), (self.far, FAR)):
            command(*end, "ip", "link", "set", "lo", "up")
            command(*end, "ip", "address", "add", f"{address}/24", "dev", "cable")
            # Segments as they are on a wire, so that rules on their length mean something.
            command(*end, "ip", "link", "set", "cable", "gso_max_segs", "1")
            command(*end, "ip", "link", "set", "cable", "up")

    def firewall(self, end: list[str], *rules: str, chain: str = "input") -> None:
        """Replaces all rules of that end by these."""
        lines = ["flush ruleset", "table inet test {", f"chain {chain} {{ type filter hook {chain} priority 0;", *rules, "}", "}"]
        subprocess.run([*end, "nft", "-f", "-"], input="\n".join(lines), text=True, check=True, capture_output=True)

    def no_firewall(self) -> None:
        for end in (self.near, self.far):
            command(*end, "nft", "flush", "ruleset")

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()


def command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
