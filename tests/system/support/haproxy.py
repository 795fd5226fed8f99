"""An haproxy of the test's own, on a port of loopback, in HTTP mode before one server."""
from __future__ import annotations

import shutil
from pathlib import Path

from support.scenario import Process

PROGRAM = shutil.which("haproxy", path="/usr/sbin:/usr/bin")  # None where it is not installed.


def haproxy(folder: Path, port: int, to: int, bind: str = "", rule: str = "", server: str = "") -> Process:
    """`bind` and `server` are words behind either address, for TLS say; `rule` is a line of the frontend."""
    config = folder / "haproxy.cfg"
    config.write_text(f"""defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend front
  bind 127.0.0.1:{port} {bind}
  {rule}
  default_backend behind
backend behind
  server behind 127.0.0.1:{to} {server}
""")
    return Process([PROGRAM, "-f", str(config), "-db"], folder / "haproxy.log")
