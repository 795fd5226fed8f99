"""A network and a mount namespace of its own for a whole scenario."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.scenario import Skip

INSIDE = "CULVERT_TEST_OWN_NETWORK"


def in_own_network(why: str) -> None:
    """Runs the scenario once more inside of them, with loopback alone, and returns only there; `why` is said where that cannot
    be."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        raise Skip(f"it needs root, unshare and ip, {why}")
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise Skip(f"no namespaces can be made here: {tried.stderr.strip()}")
    words = ["unshare", "--net", "--mount", sys.executable, *sys.argv]
    sys.exit(subprocess.run(words, env={**os.environ, INSIDE: "yes"}, check=False).returncode)


def own_names(folder: Path, names: dict[str, tuple[str, ...]]) -> None:
    """Inside: these names with their addresses, localhost, and no others, for programs that start from now on."""
    hosts, switch, conf = folder / "hosts", folder / "nsswitch.conf", folder / "host.conf"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, addresses in names.items()
                                                       for address in addresses))
    switch.write_text("hosts: files\n")
    conf.write_text("multi on\n")  # All lines of a name count.
    for file in (hosts, switch, conf):
        if Path("/etc", file.name).exists():
            subprocess.run(["mount", "--bind", str(file), f"/etc/{file.name}"], check=True)
