#!/usr/bin/env python3
"""./dev bench micro: what codec, scheduler and session cost without sockets and TLS. Options are Google Benchmark's own."""
import os
import sys

import paths  # noqa: F401
from local_pair import BIN

if __name__ == "__main__":
    program = BIN / "bench-micro"
    if not program.exists():
        sys.exit(f"bench: {program} is missing; run ./dev bench micro, which builds it")
    os.execv(program, [str(program), *sys.argv[1:]])
