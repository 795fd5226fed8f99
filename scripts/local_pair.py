"""Gateway and agent on loopback with a line between them that can be cut. For the demo, ./dev run and system tests.

Programs are started through setpriv, so that they end with the Python process even when that one is killed.
"""
from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Optional

from line import Line

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(os.environ.get("CULVERT_BIN", ROOT / "build" / "bin"))


class PairError(Exception):
    """One line for a person: what was tried, what happened, where to look."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what: str, condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise PairError(f"waited {seconds:g} s, but {what} did not happen")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def as_user(user: Optional[str]) -> list[str]:
    """Words for setpriv that change root into `user`; none for everybody else."""
    if user is None or os.geteuid() != 0:
        return []
    account = pwd.getpwnam(user)
    return ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]


class Process:
    """A program that runs until stop(). Its stderr goes to `log`; with `ready` it has to print such a line first.

    With `user`, it runs as that account if we are root: for servers that refuse to be root.
    """

    def __init__(self, command: list[str], log: Path, ready: Optional[str] = None, seconds: float = 30,
                 user: Optional[str] = None, stop_signal: signal.Signals = signal.SIGTERM):
        self.name, self.log, self.stop_signal = Path(command[0]).name, log, stop_signal
        self.log_from = log.stat().st_size if log.exists() else 0  # Where this run's lines begin.
        with open(log, "ab") as sink:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", stop_signal.name[3:], *as_user(user), *command],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sink,
                                            start_new_session=True)
        try:
            if ready is not None:
                self._wait_for_line(ready, seconds)
        except BaseException:
            self.stop()
            raise

    def _wait_for_line(self, start: str, seconds: float) -> None:
        deadline, text = time.monotonic() + seconds, b""
        while not any(line.startswith(start.encode()) for line in text.splitlines()):
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            piece = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            if not piece:
                why = f"ended with {self.process.wait()}" if readable else f"said nothing for {seconds:g} s"
                raise PairError(f"{self.name} was started, but {why}:\n{self.log_end()}")
            text += piece

    def log_end(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) + f"\n(whole log: {self.log})"

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Without a chance to say good-bye, as a crash would."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds: float = 40) -> None:
        if self.alive():
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


class LocalPair:
    """DIR/gateway and DIR/agent, one org `demo` with one site `here`, enrolled through the line."""

    def __init__(self, folder: Path, hostname: str = "localhost"):
        for program in ("culvert-gateway", "culvert-agent"):
            if not (BIN / program).exists():
                raise PairError(f"{BIN / program} is missing; run ./dev build first")
        self.folder, self.hostname = folder, hostname
        self.gateway_dir, self.agent_dir = folder / "gateway", folder / "agent"
        self.gateway_config, self.agent_config = self.gateway_dir / "gateway.toml", self.agent_dir / "agent.toml"
        self.gateway: Optional[Process] = None
        self.agent: Optional[Process] = None
        self.line: Optional[Line] = None

    @staticmethod
    def command(*words: object) -> str:
        """Runs one of our command lines; its stdout."""
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise PairError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def provider(self, *words: object) -> str:
        return self.command(BIN / "culvert-gateway", *words, "--config", self.gateway_config)

    def customer(self, *words: object) -> str:
        return self.command(BIN / "culvert-agent", *words, "--config", self.agent_config)

    def status(self) -> dict:
        return json.loads(self.customer("status", "--json"))

    def start_new(self, settings: Optional[dict[str, str]] = None, depot: str = "") -> None:
        """From nothing to an enrolled agent whose session is up. `settings` are replacements in gateway.toml, `depot` is a
        line of [depot] in agent.toml."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        port = free_port()
        self.line = Line(port)
        self.command(BIN / "culvert-gateway", "init", "--data", self.gateway_dir, "--hostname", self.hostname,
                     "--listen", f"127.0.0.1:{port}", "--public-url", f"https://{self.hostname}:{self.line.port}")
        text = self.gateway_config.read_text()
        for old, new in (settings or {}).items():
            text = text.replace(old, new)
        self.gateway_config.write_text(text)
        self.start_gateway()
        self.provider("org", "add", "demo")
        joining_string = self.provider("join-token", "demo", "here").strip()
        self.command(BIN / "culvert-agent", "join", joining_string, "--data", self.agent_dir)
        self.agent_config.write_text(self.agent_config.read_text().replace("[depot]\n", f"[depot]\n{depot}\n"))
        self.start_agent()
        wait_until("a session between agent and gateway", lambda: self.status()["session"]["state"] == "up")

    def start_gateway(self) -> None:
        self.gateway = Process([str(BIN / "culvert-gateway"), "run", "--config", str(self.gateway_config)],
                               self.folder / "gateway.log", ready="ready")

    def start_agent(self) -> None:
        self.agent = Process([str(BIN / "culvert-agent"), "run", "--config", str(self.agent_config)],
                             self.folder / "agent.log", ready="ready")

    def add_forward(self, name: str, target_port: int, port: Optional[int] = None) -> int:
        """A target on loopback and the forward to it, on `port` or one of the agent's pool; the agent's port."""
        self.provider("target", "add", "demo", name, f"127.0.0.1:{target_port}")
        self.customer("forward", "add", name, *(("--port", port) if port else ()))
        return next(f["port"] for f in self.status()["forwards"] if f["name"] == name)

    def stop(self) -> None:
        for part in (self.agent, self.gateway):
            if part is not None:
                part.stop()
        if self.line is not None:
            self.line.close()
