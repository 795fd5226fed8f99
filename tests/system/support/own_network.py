"""A network and a mount namespace of its own for a whole scenario."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys

from support.scenario import Skip

INSIDE = "CULVERT_TEST_OWN_NETWORK"


def in_own_network(why: str) -> None:
    """Runs the scenario once more inside of them, and returns only there; `why` is said where that cannot be."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        raise Skip(f"it needs root, unshare and ip, {why}")
    if INSIDE in os.environ:
        return
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise Skip(f"no namespaces can be made here: {tried.stderr.strip()}")
    words = ["unshare", "--net", "--mount", sys.executable, *sys.argv]
    sys.exit(subprocess.run(words, env={**os.environ, INSIDE: "yes"}, check=False).returncode)
