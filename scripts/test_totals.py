#!/usr/bin/env python3
"""Adds up ctest reports (JUnit files): failures with their output, what was skipped, and as last line the total."""
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

TAIL_LINES = 80


def main(reports: list[str]) -> int:
    passed, failed, skipped = 0, [], []
    for report in map(Path, reports):
        if not report.exists():
            failed.append((str(report.parent), f"no test ran there: {report} was not written"))
            continue
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            name = f"{report.parent.name}: {case.get('name')}"
            note = case.find("skipped")
            if case.get("status") == "run":
                passed += 1
            elif note is not None and "SKIP_" in (note.get("message") or ""):
                skipped.append(name)
            else:
                reason = note.get("message") if note is not None else "no output"
                failed.append((name, case.findtext("system-out") or reason))
    for name, output in failed:
        print(f"\n--- FAILED {name}")
        print("\n".join(output.rstrip().splitlines()[-TAIL_LINES:]))
    if failed:
        print("\nfailed:")
        for name, _ in failed:
            print(f"  {name}")
    if skipped:
        print("\nskipped (each test says why; they count neither as passed nor as failed):")
        for name in skipped:
            print(f"  {name}")
    print()
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
