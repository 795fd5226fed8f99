#!/usr/bin/env python3
"""The README's table of ports is what `culvert-vib ports --markdown` prints.

    check_ports.py            exit code 1 when it is stale
    check_ports.py --write    puts the table into the README

CULVERT_BIN names the folder of the programs (default: build/bin).
"""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(os.environ.get("CULVERT_BIN", ROOT / "build" / "bin"))
BEGIN, END = "<!-- ports: begin", "<!-- ports: end -->"


def main(write: bool) -> int:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    note, newline, rest = rest.partition("\n")
    shown, end, tail = rest.partition(END)
    if not (begin and end):
        print(f"README.md: the marks '{BEGIN} …' and '{END}' are gone", file=sys.stderr)
        return 1
    table = subprocess.run([BIN / "culvert-vib", "ports", "--markdown"], check=True, capture_output=True, text=True,
                           timeout=30).stdout
    fresh = f"\n{table}\n"
    if write:
        readme.write_text(head + begin + note + newline + fresh + end + tail, encoding="utf-8")
        return 0
    if shown != fresh:
        print("README.md: the table of ports is stale; run scripts/check_ports.py --write", file=sys.stderr)
        return 1
    print(f"ports: {table.count(chr(10) + '| ')} lines of the README agree with the catalogue")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(bool(sys.argv[1:])))
