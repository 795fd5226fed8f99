"""An emulated long line between two network namespaces: the Python side of wan-line.

Both namespaces live as long as wan-line and the programs in them, so that nothing is left behind, however this process
ends. Everything needs root.
"""
from __future__ import annotations

import fcntl
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from local_pair import BIN, PairError

NEAR, FAR = "10.77.0.1", "10.77.0.2"
ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
TURN, TURN_SECONDS = Path("/run/culvert-wan-line"), 900
# Words before a program that may be root, but not choose a congestion control that is not allowed to everybody.
NO_BBR = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]


@dataclass(frozen=True)
class LineShape:
    """One cell of a table: what a line is like, the same in both directions."""
    rtt_ms: float = 0
    rate_mbit: float = 0  # 0: no limit.
    loss: float = 0  # Of each packet, 0 to 1, each way.
    congestion: str = "cubic"
    queue_bdp: float = 1  # Length of the drop-tail queue in bandwidth-delay products.

    def queue_bytes(self) -> int:
        """At least 64 full packets: a shorter queue is no queue that anybody builds."""
        return max(int(self.rate_mbit * 1e6 / 8 * self.rtt_ms / 1e3 * self.queue_bdp), 64 * 1500)

    def __str__(self) -> str:
        return f"{self.rtt_ms:g} ms, {self.rate_mbit:g} Mbit/s, loss {self.loss * 100:g} %, {self.congestion}"


def unavailable() -> Optional[str]:
    """Why no line can be made here; None when one can."""
    if os.geteuid() != 0:
        return "it needs root to make network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    if not (BIN / "wan-line").exists():
        return f"{BIN / 'wan-line'} is missing; run ./dev build first"
    return None


class Turn:
    """The machine's list of allowed congestion controls, ours until the last line of this process has left. Two processes
    that set it would spoil each other's figures, so another one waits; lines of one process share it as long as they are
    of the same congestion control. What it was is kept in a file, so that a run that was killed does not change it for good.
    """
    _guard = threading.RLock()
    _shared: Optional[Turn] = None

    @classmethod
    def join(cls) -> Turn:
        """For one more line of this process, which leave()s, or as a context around several, so that no other process comes
        in between. Waits up to TURN_SECONDS for other processes."""
        with cls._guard:
            if cls._shared is None:
                cls._shared = cls()
            cls._shared._lines += 1
            return cls._shared

    def __init__(self) -> None:
        self._lines, self._choices = 0, {}
        self._file = open(TURN, "a+", encoding="ascii")
        deadline = time.monotonic() + TURN_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._file.close()
                    raise PairError(f"another emulated line is in use (it holds {TURN}); try again when it has ended") from None
                time.sleep(0.2)
        self._file.seek(0)
        self._before = self._file.read() or ALLOWED.read_text()
        self._keep(self._before)

    def _keep(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()

    def choose(self, line: WanLine, congestion: str) -> None:
        """On CUBIC nothing else is allowed, as on a kernel without BBR, so that a program without CAP_NET_ADMIN (NO_BBR)
        cannot choose it. A namespace may choose only what the machine allows everybody: hence one choice for all lines."""
        with self._guard:
            others = {chosen for of, chosen in self._choices.items() if of is not line} - {congestion}
            if others:
                raise PairError(f"a line on {congestion} cannot run beside one on {', '.join(others)}: "
                                "what is allowed, is allowed to all")
            self._choices[line] = congestion
            ALLOWED.write_text("reno cubic bbr" if congestion == "bbr" else "reno cubic")

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(self)

    def leave(self, line: object) -> None:
        with self._guard:
            self._choices.pop(line, None)
            self._lines -= 1
            if self._lines == 0:
                ALLOWED.write_text(self._before)
                self._keep("")
                self._file.close()
                Turn._shared = None


class WanLine:
    """A line without delay, loss or limit until shape() is called. Use as a context, or close() it."""

    def __init__(self, seed: int = 1):
        why = unavailable()
        if why is not None:
            raise PairError(f"no emulated line: {why}")
        self.kernel: dict[str, str] = {}
        self._lock = threading.Lock()
        self._turn: Optional[Turn] = Turn.join()
        self._program = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", str(BIN / "wan-line"), "--seed", str(seed)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            first = self._program.stdout.readline()
            if not first:
                raise PairError(f"wan-line ended with {self._program.wait()}")
            facts = json.loads(first)
            self.seed, self.realtime = facts["seed"], facts["realtime"]
            self.near = ["nsenter", f"--net=/proc/{facts['pid']}/fd/{facts['near']}"]  # Words before a command of that end.
            self.far = ["nsenter", f"--net=/proc/{facts['pid']}/fd/{facts['far']}"]
            # What one connection learned of the line must not help the next one.
            self.set_kernel({"net.ipv4.tcp_no_metrics_save": "1"})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WanLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, command: str) -> dict:
        """One command of wan-line --help; its answer. PairError when it was refused. Any thread may call."""
        with self._lock:
            self._program.stdin.write(command + "\n")
            self._program.stdin.flush()
            answer = self._program.stdout.readline()
        if not answer:
            raise PairError(f"wan-line ended with {self._program.wait()} before it answered '{command}'")
        told = json.loads(answer)
        if not told["ok"]:
            raise PairError(f"wan-line refused '{command}': {told['error']}")
        return told

    def shape(self, shape: LineShape) -> None:
        self.tell(f"set both delay_ms {shape.rtt_ms / 2} loss {shape.loss} rate_mbit {shape.rate_mbit} "
                  f"queue_bytes {shape.queue_bytes()}")
        self._turn.choose(self, shape.congestion)
        self.set_kernel({"net.ipv4.tcp_congestion_control": shape.congestion})

    def set_kernel(self, settings: dict[str, str]) -> None:
        """sysctl in both namespaces, for connections made from now on."""
        for end in (self.near, self.far):
            done = subprocess.run([*end, "sysctl", "-q", "-w", *(f"{k}={v}" for k, v in settings.items())],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PairError(f"sysctl {settings} failed: {done.stderr.strip()}")
        self.kernel |= settings

    def stats(self) -> dict:
        return self.tell("stats")

    def flows(self, far_port: int) -> list[dict]:
        """Open connections to that port of the far end, oldest first."""
        return [flow for flow in self.tell("flows")["flows"] if flow["far_port"] == far_port and flow["open"]]

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self._program.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        if self._program.poll() is None:
            self._program.stdin.close()
            try:
                self._program.wait(10)
            except subprocess.TimeoutExpired:
                self._program.kill()
                self._program.wait()
        self._program.stdout.close()
        if self._turn is not None:
            self._turn.leave(self)
            self._turn = None
