#!/usr/bin/env python3
"""Every test that docs/guarantees.md names exists, and every guarantee names one or says "not yet"."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASE = re.compile(r'(?:TEST_CASE|SCENARIO)\(\s*"((?:[^"\\]|\\.)*)"')


def main() -> int:
    sources = (ROOT / "tests").rglob("*.cpp")
    cases = {name for file in sources for name in CASE.findall(file.read_text(encoding="utf-8"))}
    mistakes, named = [], 0
    for part in re.split(r"^## ", (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
        if not re.match(r"G\d", part):
            continue
        title, tests = part.splitlines()[0], re.findall(r"^- test: `([^`]+)`", part, flags=re.MULTILINE)
        named += len(tests)
        if not tests and "- not yet" not in part:
            mistakes.append(f"{title}: names no test and does not say 'not yet'")
        for test in tests:
            if not (test in cases or (test.startswith("tests/") and (ROOT / test).exists())):
                mistakes.append(f"{title}: there is no test '{test}'")
    for mistake in mistakes:
        print(f"docs/guarantees.md: {mistake}", file=sys.stderr)
    print(f"guarantees: {named} tests named, {len(mistakes)} mistakes")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
