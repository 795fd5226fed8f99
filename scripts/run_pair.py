#!/usr/bin/env python3
"""./dev run: gateway and agent on loopback until Ctrl-C, in build/run, made anew each time."""
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from local_pair import BIN, ROOT, LocalPair, PairError  # noqa: E402


def main() -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    pair = LocalPair(ROOT / "build" / "run")
    try:
        pair.start_new()
        print(f"""gateway and agent run; logs: {pair.folder}/*.log. Try, with any server on port 5432:
  {BIN}/culvert-gateway target add demo db 127.0.0.1:5432 --config {pair.gateway_config}
  {BIN}/culvert-agent forward add db --config {pair.agent_config}
  {BIN}/culvert-agent status --config {pair.agent_config}
Ctrl-C stops both.""", flush=True)
        while not stop.wait(1):
            for part in (pair.gateway, pair.agent):
                if not part.alive():
                    raise PairError(f"{part.name} ended by itself:\n{part.log_end()}")
        return 0
    except PairError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    finally:
        pair.stop()


if __name__ == "__main__":
    sys.exit(main())
