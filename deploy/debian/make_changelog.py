#!/usr/bin/env python3
"""The Debian changelog of one package, made from CHANGELOG.md.

    make_changelog.py CHANGELOG.md PACKAGE MAINTAINER > changelog

A section `## 0.1.0 (2026-11-21)` is a version; its list items become the entries.
"""
import re
import sys
import textwrap
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

SECTION = re.compile(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$")


def main(source: str, package: str, maintainer: str) -> int:
    versions: list[tuple[str, datetime, list[str]]] = []
    for line in Path(source).read_text(encoding="utf-8").splitlines():
        section = SECTION.match(line)
        if section:
            date = datetime.fromisoformat(section.group(2)).replace(tzinfo=timezone.utc)
            versions.append((section.group(1), date, []))
        elif versions and line.startswith("- "):
            versions[-1][2].append(line[2:].strip())
        elif versions and versions[-1][2] and re.match(r"^  \S", line):
            versions[-1][2][-1] += " " + line.strip()
    if not versions:
        print(f"make_changelog: {source} has no section like '## 0.1.0 (2026-11-21)'", file=sys.stderr)
        return 1
    for version, date, items in versions:
        print(f"{package} ({version}) bookworm; urgency=medium\n")
        for item in items:
            plain = item.replace("`", "").replace("**", "")
            print(textwrap.fill(plain, 78, initial_indent="  * ", subsequent_indent="    "))
        print(f"\n -- {maintainer}  {format_datetime(date)}\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
