#!/usr/bin/env python3
"""kill -9 of either side, under streams and under admin commands: sources and targets see a reset, no lock and no
half-written file is left, and the next start works with everything that was confirmed before. An `init` that is killed
leaves a directory in which the same command makes a gateway."""
import json
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from support.scenario import (BIN, QUICK_END, LocalPair, Process, agent, check, end_of, free_port, gateway, log_of,
                              main, refuses, run, wait_until)
from support.tcp import Echo, echoes, source


def kill(daemon) -> None:
    daemon.process.kill()
    daemon.process.wait()


def up(pair: LocalPair) -> None:
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")


def scenario(folder: Path) -> None:
    kill_init(folder / "inits")
    pair, echo = LocalPair(folder / "pair"), Echo()
    try:
        pair.start_new(settings=QUICK_END)
        port = pair.add_forward("echo", echo.port)
        refuses("a second gateway on one directory is refused", gateway("run", "--config", pair.gateway_config), 1,
                "gateway")
        refuses("a second agent on one directory is refused", agent("run", "--config", pair.agent_config), 1, "agent")
        kill_agent(pair, port)
        kill_gateway(pair, port)
        kill_under_commands(pair)
    finally:
        pair.stop()
        echo.close()


def kill_init(folder: Path) -> None:
    """At 20 moments, spread over the time that an init takes here."""
    folder.mkdir()
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    data, made = folder / "gw", {"certs", "gateway.toml", "lock", "store.sqlite"}
    words = ("init", "--data", data, "--hostname", "localhost", "--listen", f"127.0.0.1:{free_port()}")
    took = 60.0
    for _ in range(3):  # The first one reads the program from the disk.
        shutil.rmtree(data, ignore_errors=True)
        began = time.monotonic()
        done = gateway(*words)
        took = min(took, time.monotonic() - began)
        check(f"an init takes {took:.3f} s (seed {seed})", done.code == 0, done)
    interrupted = 0
    for number in range(20):
        shutil.rmtree(data)
        command = [str(word) for word in (BIN / "culvert-gateway", *words)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as init:
            time.sleep(took * (number + chance.random()) / 20)
            init.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
        data.mkdir(mode=0o700, exist_ok=True)  # Killed before it made anything.
        left = sorted(entry.name for entry in data.iterdir())
        if "gateway.toml" not in left:
            interrupted += len(left) > 1
            refuses("without gateway.toml there is no gateway",
                    gateway("org", "list", "--config", data / "gateway.toml"), 2, "make one with 'culvert-gateway init'")
            done = gateway(*words)
            check(f"the same init works after one that left {left}", done.code == 0, done)
        daemon = Process([str(BIN / "culvert-gateway"), "run", "--config", str(data / "gateway.toml")],
                         folder / "gateway.log", ready="ready")
        daemon.stop()
        check("SIGTERM right after its ready line ends it in order", daemon.process.returncode == 0, daemon.log_end())
        found = {entry.name for entry in data.iterdir()}
        check("it serves, and nothing of the killed one is left", found == made, found)
        done = run("culvert-certs", "check", data / "certs")
        check("its keys and certificates belong together", done.code == 0, done)
    check(f"some were killed half-way ({interrupted} of 20)", interrupted > 0)


def kill_agent(pair: LocalPair, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target_port = pair.add_forward("watched", listener.getsockname()[1])
        stream = source(target_port)
        stream.sendall(b"hello")
        listener.settimeout(20)
        target, _ = listener.accept()
        target.settimeout(20)
        check("a stream runs", target.recv(5) == b"hello")
        kill(pair.agent)
        check("kill -9 of the agent: its source sees a reset, never an orderly end", end_of(stream, 5) == "reset")
        stream.close()
        began = time.monotonic()
        pair.start_agent()
        up(pair)
        check("the agent is up again with the forwards it had", {f["name"] for f in pair.status()["forwards"]} ==
              {"echo", "watched"}, pair.status()["forwards"])
        check("the target of the older session sees a reset, never an orderly end", end_of(target, 5) == "reset")
        took = time.monotonic() - began
        check(f"within 5 s of the agent's start ({took:.1f} s)", took < 5)
        check("the gateway's log says why", "superseded_instance" in log_of(pair.gateway))
        target.close()
    stream = source(port)
    check("streams work", echoes(stream))
    stream.close()


def kill_gateway(pair: LocalPair, port: int) -> None:
    stream = source(port)
    check("a stream runs", echoes(stream))
    kill(pair.gateway)
    refuses("without the daemon status fails", gateway("status", "--config", pair.gateway_config), 1)
    done = gateway("target", "add", "demo", "offline", "192.0.2.9:22", "--config", pair.gateway_config)
    check("without the daemon commands work on the store: no lock is left", done.code == 0, done)
    pair.start_gateway()
    check("the source sees a reset: its target's connection died with the gateway", end_of(stream, 20) == "reset")
    up(pair)
    stream = source(port)
    check("streams work again", echoes(stream))
    stream.close()
    status = json.loads(pair.provider("status", "--json"))
    check("the audit log is whole", status["audit"]["intact"], status["audit"])


def kill_under_commands(pair: LocalPair) -> None:
    """Commands are at work when the daemons die; what was confirmed is there afterwards."""
    confirmed = {"target": [], "forward": []}
    stop = threading.Event()

    def add_targets() -> None:
        for number in range(1000):
            if stop.is_set():
                return
            done = gateway("target", "add", "demo", f"t{number}", f"192.0.2.1:{1000 + number}", "--config",
                           pair.gateway_config)
            if done.code == 0:
                confirmed["target"].append(f"t{number}")

    def add_forwards() -> None:
        for number in range(1000):
            if stop.is_set():
                return
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            done = agent("forward", "add", f"f{number}", "--port", port, "--bind", "127.0.0.1", "--config",
                         pair.agent_config)
            if done.code == 0:
                confirmed["forward"].append(f"f{number}")

    workers = [threading.Thread(target=add_targets), threading.Thread(target=add_forwards)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(2):
            known = {kind: len(names) for kind, names in confirmed.items()}
            wait_until("some commands are done",
                       lambda k=known: all(len(confirmed[kind]) > k[kind] + 1 for kind in confirmed))
            kill(pair.gateway)
            kill(pair.agent)
            pair.start_gateway()
            pair.start_agent()
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    up(pair)
    targets = {t["name"] for t in json.loads(pair.provider("target", "list", "demo", "--json"))["targets"]}
    forwards = {f["name"]: f["state"] for f in pair.status()["forwards"]}
    check(f"every confirmed target is there ({len(confirmed['target'])})", set(confirmed["target"]) <= targets)
    check(f"every confirmed forward is there and listens ({len(confirmed['forward'])})",
          all(forwards.get(name) == "listening" for name in confirmed["forward"]), forwards)
    strays = [str(f) for f in [*pair.agent_dir.rglob("*"), *pair.gateway_dir.rglob("*")] if ".tmp" in f.name]
    check("no half-written file is taken for a forward", not any(state == "failed" for state in forwards.values()), forwards)
    check("a check of the agent's directory finds nothing to mend", run("culvert-certs", "check", pair.agent_dir).code == 0)
    pair.agent.stop()
    pair.start_agent()
    left = [name for name in strays if Path(name).exists()]
    check("no temporary file outlives the next start", not left, left)


main(scenario)
