"""A gateway on the far one of two hosts, an agent on the near one, and the doctor beside the agent; a long line to be between
them."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support" / "wan"))
from honesty import BUFFERS
from support.scenario import BIN, Done, Process, Skip, check, wait_until
from support.two_hosts import FAR, TwoHosts, command
from wan_line import WanLine, unavailable


@contextmanager
def long_line() -> Iterator[WanLine]:
    """A line for a scenario, between kernels whose socket buffers fill it; skips the scenario where none can be made."""
    lack = unavailable()
    if lack:
        raise Skip(lack)
    with WanLine(seed=1) as line:
        line.set_kernel(BUFFERS)
        yield line


class FarPair:
    """`hosts` has words before a command of either end in `near` and `far`; `limits` are of gateway.toml. As a context it ends
    with all its programs, those of python() too."""

    def __init__(self, hosts: TwoHosts | WanLine, folder: Path, far: str = FAR, limits: str = ""):
        self.hosts, self.folder = hosts, folder
        self.gateway_config, self.agent_config = folder / "gateway/gateway.toml", folder / "agent/agent.toml"
        self.agent: Optional[Process] = None
        self._programs: list[Process] = []
        command(str(BIN / "culvert-gateway"), "init", "--data", str(folder / "gateway"), "--hostname", far,
                "--listen", f"{far}:443")
        text = self.gateway_config.read_text()
        self.gateway_config.write_text(text.replace("[limits]\n", f"[limits]\n{limits}\n"))
        self.gateway = Process([*hosts.far, str(BIN / "culvert-gateway"), "run", "--config", str(self.gateway_config)],
                               folder / "gateway.log", ready="ready")
        self.provider("org", "add", "demo")
        joining = self.provider("join-token", "demo", "here").strip()
        command(*hosts.near, str(BIN / "culvert-agent"), "join", joining, "--data", str(folder / "agent"))

    def provider(self, *words: str) -> str:
        return command(str(BIN / "culvert-gateway"), *words, "--config", str(self.gateway_config))

    def customer(self, *words: str) -> str:
        return command(*self.hosts.near, str(BIN / "culvert-agent"), *words, "--config", str(self.agent_config))

    def start_agent(self, *before: str) -> None:
        self.agent = Process([*self.hosts.near, *before, str(BIN / "culvert-agent"), "run", "--config", str(self.agent_config)],
                             self.folder / "agent.log", ready="ready")
        wait_until("a session", lambda: self.status()["session"]["state"] == "up")

    def stop_agent(self) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent = None

    def status(self) -> dict:
        return json.loads(self.customer("status", "--json"))

    def forward(self, name: str, target: str, port: int) -> None:
        self.provider("target", "add", "demo", name, target)
        self.customer("forward", "add", name, "--port", str(port))

    def doctor(self) -> tuple[Done, list[dict]]:
        began = time.monotonic()
        words = [*self.hosts.near, str(BIN / "culvert-agent"), "doctor", "--json", "--config", str(self.agent_config)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        check(f"it took {time.monotonic() - began:.1f} s", time.monotonic() - began < 10)
        return Done(done.returncode, done.stdout, done.stderr), json.loads(done.stdout or "{}")["findings"]

    def finds(self, wanted: str, *pieces: str, note: bool = False, looks: int = 1) -> None:
        """More looks where the fault is a lack of time or of line: it need not show in each second."""
        for _ in range(looks):
            done, findings = self.doctor()
            found = [finding["id"] for finding in findings]
            if found == [wanted]:
                break
        check(f"{wanted} is found{' as a note' if note else ''}, and nothing else",
              found == [wanted] and done.code == (0 if note else 1), done)
        shown = f"{findings[0]['cause']}. {findings[0]['evidence']}"
        check(f"  {shown}", all(piece in shown for piece in pieces), findings)

    def healthy(self) -> None:
        done, findings = self.doctor()
        check("nothing is found on a healthy set-up", done.code == 0 and not findings, done)

    def python(self, end: list[str], text: str, *words: str, name: str = "python") -> Process:
        """A program of a few lines on one of the hosts; it prints `ready` when it is."""
        program = Process([*end, sys.executable, "-c", text, *words], self.folder / f"{name}.log", ready="ready")
        self._programs.append(program)
        return program

    def __enter__(self) -> FarPair:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.kill()
        self.stop_agent()
        self.gateway.kill()
