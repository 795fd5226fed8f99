#!/usr/bin/env python3
"""Keeps what fuzzing has found: tests/fuzz/corpus/NAME.txt, an input a line in hexadecimal.

libFuzzer reduces its corpus to inputs that each reach code which no smaller one does (-merge=1); of those the
shortest are kept, as many as fit into a few KiB. Run ./dev fuzz NAME SECONDS first.
Example: keep_corpus.py session
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_BYTES = 4096


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    name = sys.argv[1]
    with tempfile.TemporaryDirectory() as reduced:
        subprocess.run([ROOT / f"build-fuzz/bin/fuzz_{name}", "-merge=1", reduced, ROOT / f"build-fuzz/corpus/fuzz_{name}"],
                       check=True, stderr=subprocess.DEVNULL)
        inputs = sorted((path.read_bytes() for path in pathlib.Path(reduced).iterdir()), key=lambda b: (len(b), b))
    kept, size = [], 0
    for each in inputs:
        if size + len(each) > MOST_BYTES:
            break
        kept.append(each)
        size += len(each)
    lines = [f"# {len(kept)} of {len(inputs)} inputs that ./dev fuzz {name} found, reduced by -merge=1, the shortest first.",
             "# Written by tests/fuzz/keep_corpus.py.", *(each.hex() for each in kept if each)]
    (ROOT / f"tests/fuzz/corpus/{name}.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(kept)} inputs, {size} bytes")


if __name__ == "__main__":
    main()
