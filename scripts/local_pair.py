"""Gateway and agent on loopback with a line between them that can be cut. For the demo, ./dev run and system tests.

Programs are started through setpriv, so that they end with the Python process even when that one is killed.
"""
from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Optional

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


class Process:
    """A program that runs until stop(). Its stderr goes to `log`; with `ready` it has to print such a line first."""

    def __init__(self, command: list[str], log: Path, ready: Optional[str] = None, seconds: float = 30):
        self.name, self.log = Path(command[0]).name, log
        with open(log, "ab") as sink:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=sink, start_new_session=True)
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

    def stop(self, seconds: float = 40) -> None:
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Line:
    """Carries TCP connections from its own port to `target_port`. cut() ends all of them and refuses new ones;
    stall() lets all of them live and carries nothing more, as a path that swallows everything; mend() ends either."""

    def __init__(self, target_port: int):
        self.target_port, self.up, self.carried_bytes = target_port, True, 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock, self._ends = threading.Lock(), set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # close() was called.
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                if not self.up:
                    near.close()
                    far.close()
                    continue
                self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 18))
        try:
            while (n := source.recv_into(buffer)) > 0:
                self._flowing.wait()
                sink.sendall(buffer[:n])
                self.carried_bytes += n
            self._flowing.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end({source, sink})

    def _end(self, ends: set) -> None:
        with self._lock:
            for end in ends & self._ends:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self._ends -= ends

    def cut(self) -> None:
        with self._lock:
            self.up, ends = False, set(self._ends)
        self._end(ends)
        self._flowing.set()

    def stall(self) -> None:
        self._flowing.clear()

    def mend(self) -> None:
        with self._lock:
            self.up = True
        self._flowing.set()

    def close(self) -> None:
        self._listener.close()
        self.cut()


class LocalPair:
    """DIR/gateway and DIR/agent, one org `demo` with one site `here`, enrolled through the line."""

    def __init__(self, folder: Path):
        for program in ("culvert-gateway", "culvert-agent"):
            if not (BIN / program).exists():
                raise PairError(f"{BIN / program} is missing; run ./dev build first")
        self.folder = folder
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

    def start_new(self) -> None:
        """From nothing to an enrolled agent whose session is up."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        port = free_port()
        self.line = Line(port)
        self.command(BIN / "culvert-gateway", "init", "--data", self.gateway_dir, "--hostname", "localhost",
                     "--listen", f"127.0.0.1:{port}", "--public-url", f"https://localhost:{self.line.port}")
        self.start_gateway()
        self.provider("org", "add", "demo")
        joining_string = self.provider("join-token", "demo", "here").strip()
        self.command(BIN / "culvert-agent", "join", joining_string, "--data", self.agent_dir)
        self.start_agent()
        wait_until("a session between agent and gateway", lambda: self.status()["session"]["state"] == "up")

    def start_gateway(self) -> None:
        self.gateway = Process([str(BIN / "culvert-gateway"), "run", "--config", str(self.gateway_config)],
                               self.folder / "gateway.log", ready="ready")

    def start_agent(self) -> None:
        self.agent = Process([str(BIN / "culvert-agent"), "run", "--config", str(self.agent_config)],
                             self.folder / "agent.log", ready="ready")

    def add_forward(self, name: str, target_port: int) -> int:
        """A target on loopback and the forward to it; the agent's port."""
        self.provider("target", "add", "demo", name, f"127.0.0.1:{target_port}")
        self.customer("forward", "add", name)
        return next(f["port"] for f in self.status()["forwards"] if f["name"] == name)

    def stop(self) -> None:
        for part in (self.agent, self.gateway):
            if part is not None:
                part.stop()
        if self.line is not None:
            self.line.close()
