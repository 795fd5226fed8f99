#!/usr/bin/env python3
"""The README's demo, with a smaller image: equal images, although the line was cut half-way."""
import subprocess
import sys
import tempfile
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo.py"

with tempfile.TemporaryDirectory(prefix="culvert-demo-") as folder:
    sys.exit(subprocess.run([sys.executable, DEMO, "--size-mib", "256", "--folder", folder], check=False).returncode)
