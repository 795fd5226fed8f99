"""What scenarios share: one sentence per check, a folder that is removed, command lines with all they said."""
from __future__ import annotations

import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from local_pair import BIN, LocalPair, PairError, Process, free_port, wait_until  # noqa: E402

SKIPPED = 77
NO_DEPOT = "enabled = false"  # Its usual port may be anybody's, another test's for instance, which doctor would note.
QUICK_END = {'#drain_timeout = "30 s"': 'drain_timeout = "1 s"'}  # A failed scenario need not wait for its streams.


class Skip(Exception):
    """What the machine lacks, as one line."""


class Done(NamedTuple):
    code: int
    out: str
    err: str


def check(sentence: str, holds: object, shown: object = "") -> None:
    if not holds:
        raise PairError(f"NOT TRUE: {sentence}\n{shown}")
    print(f"ok: {sentence}", flush=True)


def run(program: str, *words: object, stdin: Optional[str] = None, seconds: float = 30) -> Done:
    """One of our command lines, whatever its exit code."""
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run([str(BIN / program), *map(str, words)], capture_output=True, text=True, timeout=seconds,
                          check=False, **given)
    return Done(done.returncode, done.stdout, done.stderr)


def gateway(*words: object, **more) -> Done:
    return run("culvert-gateway", *words, **more)


def agent(*words: object, **more) -> Done:
    return run("culvert-agent", *words, **more)


def refuses(sentence: str, done: Done, code: int, *pieces: str) -> None:
    """Exit code, silence on stdout, and one line on stderr that holds the pieces."""
    said = done.err.strip()
    good = done.code == code and not done.out and len(said.splitlines()) == 1
    check(f"{sentence}: {said[:160]}", good and all(piece in said for piece in pieces), done)


def log_of(process: Process) -> str:
    """What it has logged since it was started this time."""
    return process.log.read_bytes()[process.log_from:].decode(errors="replace")


def wait_for_log(process: Process, *pieces: str, seconds: float = 20) -> str:
    """The first line that holds all pieces."""
    found: list[str] = []

    def seen() -> bool:
        found[:] = [line for line in log_of(process).splitlines() if all(piece in line for piece in pieces)]
        return bool(found)

    try:
        wait_until(f"a line with {pieces} in {process.log.name}", seen, seconds)
    except PairError as error:
        raise PairError(f"{error}\n{process.log_end(40)}") from None
    return found[0]


def free_port6() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[1]


def reset(sock: socket.socket) -> None:
    """Closes with a TCP RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def end_of(sock: socket.socket, seconds: float = 20) -> str:
    """How the other side ends a connection: 'reset', 'closed' or 'open' (still, after the time)."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
        return "closed"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "open"


def how_refused(port: int, host: str = "127.0.0.1", seconds: float = 20) -> str:
    """Connects and tells how the connection ends; the reset may come before connect() has returned."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as stream:
            return end_of(stream, seconds)
    except ConnectionResetError:
        return "reset"


def main(scenario: Callable[[Path], None]) -> None:
    """Runs the scenario in a folder of its own and leaves with its exit code."""
    with tempfile.TemporaryDirectory(prefix="culvert-") as folder:
        try:
            scenario(Path(folder))
        except Skip as lack:
            print(f"skipped: {lack}")
            sys.exit(SKIPPED)
        except PairError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
    sys.exit(0)
