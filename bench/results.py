"""bench/RESULTS.md, written by `./dev bench local --results`: figures with everything they have to be read with."""
from __future__ import annotations

import textwrap
from pathlib import Path

from local_report import LEGEND, noise, sites_line, table, verdicts


def write_results(file: Path, result: dict) -> None:
    machine, arguments = result["machine"], result["arguments"]
    versions = textwrap.fill(", ".join(f"{name} {version}" for name, version in machine["versions"].items()), 118,
                             subsequent_indent="  ", break_on_hyphens=False)
    parts = [
        "# Results of `./dev bench local`",
        "Written by `./dev bench local --results bench/RESULTS.md`; [README.md](README.md) says how it is measured.",
        f"- {machine['date']}, Culvert {machine['culvert']}, {len(result['rounds'])} rounds of {arguments['gib']:g} GiB and "
        f"{arguments['seconds']} s\n- {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"{machine['congestion_control']} on loopback\n- {machine['openssl']}\n- {versions}",
        noise(result),
        f"```\n{table(result)}\n```",
        LEGEND,
    ]
    if "sites" in result:
        parts.append(sites_line(result))
    parts.append(f"## Bars\n\n```\n{verdicts(result)}\n```")
    if result["broken"]:
        parts.append("## What broke\n\n" + "\n".join(f"- {what}" for what in result["broken"]))
    file.write_text("\n\n".join(parts) + "\n")
