"""The depot of an agent: its settings, and curl as hosts ask it."""
from __future__ import annotations

import subprocess

from support.scenario import LocalPair, check


def curl(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", "20", "--noproxy", "", *map(str, words)], capture_output=True,
                          check=False)


def configure(pair: LocalPair, original: str, line: str) -> None:
    check("agent.toml has the keys, commented out", "[depot]\n" in original and "\n# port = 80\n" in original)
    pair.agent_config.write_text(original.replace("[depot]\n", f"[depot]\n{line}\n"))
