#!/usr/bin/env python3
"""culvert-vib ports: the catalogue in each of its forms, the README's table made from it, and what it refuses."""
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.scenario import Done, check, main, refuses, run

ROOT = Path(__file__).resolve().parents[2]


def vib(*words: object) -> Done:
    return run("culvert-vib", *words)


def scenario(folder: Path) -> None:
    readme(folder)
    forms()
    refusals(folder)


def readme(folder: Path) -> None:
    copy = folder / "tree"
    (copy / "scripts").mkdir(parents=True)
    for name in ("README.md", "scripts/check_ports.py"):
        shutil.copy(ROOT / name, copy / name)

    def verdict(*words: str) -> int:
        return subprocess.run([sys.executable, copy / "scripts/check_ports.py", *words], env=dict(os.environ),
                              capture_output=True, check=False).returncode

    check("the README's table is what the catalogue says", verdict() == 0)
    stale = (copy / "README.md").read_text().replace("| 31031 |", "| 31032 |", 1)
    (copy / "README.md").write_text(stale)
    check("a stale table is found", verdict() == 1)
    check("and mended by --write", verdict("--write") == 0 and verdict() == 0)
    check("to what it was", (copy / "README.md").read_text() == (ROOT / "README.md").read_text())


def forms() -> None:
    rows = json.loads(vib("ports", "--json").out)["rows"]
    check("--json has rows", len(rows) > 25 and all(row["id"] and row["source"] and row["target"] for row in rows))
    lines = list(csv.DictReader(io.StringIO(vib("ports", "--csv").out)))
    check("--csv has the same rows", [line["id"] for line in lines] == [row["id"] for row in rows])
    check("a service without a port says so", next(r for r in lines if r["id"] == "be-devices")["port"] == "none")
    text = vib("ports", "--product", "backup-exec", "--role", "remote-server")
    check("--product and --role choose rows", text.code == 0 and "6101" in text.out and "50104" not in text.out, text)
    other = json.loads(vib("ports", "--set", "be-data=20000-20100,30000", "--json").out)["rows"]
    ports = next(row for row in other if row["id"] == "be-data")["ports"]
    check("--set puts other ports into a row", ports == [{"first": 20000, "last": 20100}, {"first": 30000, "last": 30000}],
          ports)


def refusals(folder: Path) -> None:
    refuses("no command", vib(), 2, "--help")
    refuses("an unknown product lists those there are", vib("ports", "--product", "oracle"), 2, "backup-exec")
    refuses("an unknown role too", vib("ports", "--role", "nobody"), 2, "media-server")
    refuses("two forms at once", vib("ports", "--json", "--csv"), 2)
    for ports in ("", "0", "70000", "20-10", "10-20,15-30", "many"):
        refuses(f"--set be-data={ports}", vib("ports", "--set", f"be-data={ports}"), 2)
    refuses("a fixed row keeps its ports", vib("ports", "--set", "be-management=9"), 2, "fixed")
    refuses("a catalogue that is not there", vib("ports", "--catalogue", folder / "no.toml"), 1, "no.toml")
    wrong = folder / "wrong.toml"
    shutil.copy(ROOT / "firewall-vib/ports.toml", wrong)
    with wrong.open("a") as file:
        file.write('\n[[row]]\nid = "again"\nproduct = "culvert"\nservice = "s"\nsource = "source"\ntarget = "agent"\n'
                   'ports = "10005"\nprotocol = "tcp"\ndirection = "inside"\npurpose = "p"\nchangeable = "c"\n')
    refuses("a catalogue whose rows overlap", vib("ports", "--catalogue", wrong), 2, "wrong.toml", "again", "agent-ports")
    done = vib("ports", "--help")
    check("help has an example", done.code == 0 and "Example" in done.out, done)


main(scenario)
