#!/usr/bin/env python3
"""Every test that docs/guarantees.md names exists, and every guarantee names one or says "not yet". Every section of
docs/protocol.md that code or a test cites exists, and a test cites each of §3 to §13."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASE = re.compile(r'(?:TEST_CASE|SCENARIO)\(\s*"((?:[^"\\]|\\.)*)"')


CITED = re.compile(r"docs/protocol\.md ((?:[^\n§\"`]{0,30}§\d+(?:\.\d+)?)+)")
SECTION = re.compile(r"§(\d+(?:\.\d+)?)")


def sections_cited(folder: str) -> dict[str, Path]:
    """Each with a file that does so."""
    files = [file for kind in ("cpp", "hpp", "py") for file in (ROOT / folder).rglob(f"*.{kind}")]
    return {section: file for file in files for part in CITED.findall(file.read_text(encoding="utf-8"))
            for section in SECTION.findall(part)}


def wrong_sections() -> list[str]:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    parts = re.findall(r"^##+ (\d+(?:\.\d+)?)\.? [^\n]*\n(.*?)(?=^##|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    there = {section for section, _ in parts}
    rules = {section for section, body in parts if body.strip() and int(section.split(".")[0]) >= 3}
    tested = sections_cited("tests")
    mistakes = [f"{file.relative_to(ROOT)}: docs/protocol.md has no §{section}"
                for folder in ("tests", "tunnel-core", "tunnel-agent", "cloud-gateway")
                for section, file in sections_cited(folder).items() if section not in there]
    return mistakes + [f"no test cites docs/protocol.md §{section}" for section in sorted(rules - set(tested))]


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
    mistakes = [f"docs/guarantees.md: {mistake}" for mistake in mistakes] + wrong_sections()
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    print(f"guarantees: {named} tests named, {len(mistakes)} mistakes")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
