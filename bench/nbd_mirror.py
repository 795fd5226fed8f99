"""A disk that is written to and mirrored by QEMU itself, for bench outages.

    qemu-io -> export of qemu-storage-daemon -> source.raw
                        job blockdev-mirror -> NBD through the tunnel -> qemu-nbd -> mirror.raw

The job copies the whole disk and follows every write. QEMU's NBD client is left as it is by default: a lost connection
fails the job. Once the writer has stopped and the job has ended well, both images have to be equal.
"""
from __future__ import annotations

import json
import random
import socket
import subprocess
import threading
from pathlib import Path

from demo import MIB, compare, make_image, serve_disk
from local_pair import PairError, Process, wait_until
from support.play import Scenario

NEEDS = ("qemu-img", "qemu-io", "qemu-nbd", "qemu-storage-daemon")
JOB = "mirror"
FIRST_COPY_BYTES_PER_SECOND = 4 * MIB
GOES_ON = ("running", "paused", "ready", "standby")  # States of a job that has neither failed nor ended.
READY_WITHIN_SECONDS = 600
SECTOR = 512


class Monitor:
    """One connection to a monitor that speaks QMP (QEMU's command protocol). Events are skipped: states are asked for."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(30)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")
        self._read()  # The greeting.
        self.ask("qmp_capabilities")

    def ask(self, command: str, arguments: dict | None = None) -> object:
        """What the command returns; PairError with the daemon's own words when it is refused."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments or {}}).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise PairError(f"qemu-storage-daemon refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _read(self) -> dict:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise PairError(f"qemu-storage-daemon does not answer: {error}") from None
        if not line:
            raise PairError("qemu-storage-daemon closed its monitor")
        return json.loads(line)


class Writer:
    """Writes patterns to random places of a disk, four a second of 0.5 to 64 KiB, until stop() or the first failure."""

    TURN_WRITES, TURN_SECONDS = 4, 1.0

    def __init__(self, url: str, size: int, seed: int):
        self.count, self.failure = 0, ""
        self._url, self._sectors = url, size // SECTOR
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(90)

    def _command(self) -> str:
        length = self._chance.randint(1, 128)
        place = self._chance.randint(0, self._sectors - length)
        return f"write -P {self._chance.randint(1, 255)} {place * SECTOR} {length * SECTOR}"

    def _run(self) -> None:
        while not self._stopping.wait(self.TURN_SECONDS) and not self.failure:
            words = [word for _ in range(self.TURN_WRITES) for word in ("-c", self._command())]
            try:
                done = subprocess.run(["setpriv", "--pdeathsig", "TERM", "qemu-io", "-f", "raw", *words, self._url],
                                      capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
            except subprocess.TimeoutExpired:
                self.failure = "qemu-io has not ended after 60 s"
                continue
            if done.returncode != 0 or done.stdout.count("wrote ") != self.TURN_WRITES:
                self.failure = f"qemu-io ended with {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}"
            else:
                self.count += self.TURN_WRITES


class Mirror:
    """Source, writer, mirror job and target, running. The forward to the target is made here."""

    def __init__(self, scenario: Scenario, mib: int, seed: int):
        self.scenario = scenario
        self.source, self.copy = scenario.folder / "source.raw", scenario.folder / "mirror.raw"
        make_image(self.source, mib)
        with open(self.copy, "wb") as empty:
            empty.truncate(mib * MIB)
        self.server, port = serve_disk(self.copy, scenario.folder / "qemu-nbd.log")
        scenario.keep(self.server)
        self.start_daemon()
        self.start_job(scenario.pair.add_forward("disk", port))
        self.writer = Writer(f"nbd+unix:///disk?socket={scenario.folder}/disk.sock", mib * MIB, seed)
        scenario.stack.callback(self.writer.stop)

    def start_daemon(self) -> None:
        folder = self.scenario.folder
        self.daemon = self.scenario.keep(Process(
            ["qemu-storage-daemon",
             "--chardev", f"socket,id=monitor,path={folder}/monitor.sock,server=on,wait=off",
             "--monitor", "chardev=monitor",
             "--blockdev", f"driver=file,node-name=source-file,filename={self.source}",
             "--blockdev", "driver=raw,node-name=source,file=source-file",
             "--nbd-server", f"addr.type=unix,addr.path={folder}/disk.sock",
             "--export", "type=nbd,id=export,node-name=source,name=disk,writable=on"],
            folder / "qemu-storage-daemon.log"))

        def answers() -> bool:
            if not self.daemon.alive():
                raise PairError(f"qemu-storage-daemon ended by itself:\n{self.daemon.log_end()}")
            try:
                self.monitor = Monitor(folder / "monitor.sock")
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        wait_until("qemu-storage-daemon answering", answers)
        self.scenario.stack.callback(self.monitor.close)

    def start_job(self, port: int) -> None:
        self.monitor.ask("blockdev-add", {
            "driver": "nbd", "node-name": "target", "export": "disk",
            "server": {"type": "inet", "host": "127.0.0.1", "port": str(port)}})
        self.monitor.ask("blockdev-mirror", {  # It stays after its end, so that its error can be asked for.
            "job-id": JOB, "device": "source", "target": "target", "sync": "full",
            "speed": FIRST_COPY_BYTES_PER_SECOND, "auto-dismiss": False})

    def job(self) -> dict:
        return next((job for job in self.monitor.ask("query-jobs") if job["id"] == JOB), {"status": "gone"})

    def goes_on(self) -> bool:
        """Whether the job mirrors and the source takes writes."""
        return self.daemon.alive() and self.job()["status"] in GOES_ON and not self.writer.failure

    def why_not(self) -> str:
        job = self.job() if self.daemon.alive() else "qemu-storage-daemon ended"
        return f"{job} {self.writer.failure}\n{self.daemon.log_end()}"

    def wait_until_ready(self) -> None:
        """Until the whole disk has been copied; from then on the job follows the writes alone."""
        wait_until("the mirror holding the whole disk",
                   lambda: self.job()["status"] == "ready" or not self.goes_on(), READY_WITHIN_SECONDS)
        self.scenario.check(f"the mirror holds the whole disk and follows the writes, {self.writer.count} so far",
                            self.goes_on(), self.why_not())

    def finish(self) -> None:
        """Stops the writes, lets the job copy the last of them and end, compares."""
        check = self.scenario.check
        self.writer.stop()
        check(f"all {self.writer.count} writes to the source were taken", self.writer.count > 0 and not self.writer.failure,
              self.writer.failure)
        check("the mirror is ready to end", self.job()["status"] == "ready", self.why_not())
        self.monitor.ask("block-job-cancel", {"device": JOB})  # Of a ready one: copy what is left, and end well.
        wait_until("the mirror's end", lambda: self.job()["status"] in ("concluded", "gone"), 300)
        ended = self.job()
        check("the mirror ended without an error", ended["status"] == "concluded" and "error" not in ended, ended)
        self.monitor.ask("job-dismiss", {"id": JOB})

    def compare(self) -> None:
        """After finish(). Both daemons end first, so that nobody else has the images open."""
        self.daemon.stop()
        self.server.stop()
        self.scenario.check(f"source and mirror are equal: {compare(self.source, self.copy)}", True)
