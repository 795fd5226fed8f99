#!/usr/bin/env python3
"""Store and log on a file system that is full: commands fail with one line and change nothing, streams go on, the
daemons live, and with room again everything works. Needs root, for a small tmpfs."""
import json
import os
import subprocess
from pathlib import Path

from support.scenario import BIN, QUICK_END, LocalPair, Skip, agent, check, free_port, gateway, main, wait_until
from support.tcp import Echo, echoes, source

MIB = 1 << 20


def scenario(folder: Path) -> None:
    if os.geteuid() != 0:
        raise Skip("only root can mount a small file system")
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True, check=False)
    if mounted.returncode != 0:
        raise Skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    try:
        on_small_disk(folder, small)
    finally:
        subprocess.run(["umount", small], check=True)


def fill(small: Path) -> Path:
    """Takes all the room there is."""
    filler = small / "filler"
    with open(filler, "wb", buffering=0) as sink:
        for size in (65536, 4096, 1):
            try:
                while True:
                    sink.write(bytes(size))
            except OSError:
                continue
    return filler


def on_small_disk(folder: Path, small: Path) -> None:
    pair, echo = LocalPair(folder / "pair"), Echo()
    pair.folder.mkdir()
    pair.gateway_dir, pair.agent_dir = small / "gateway", small / "agent"
    pair.gateway_config, pair.agent_config = pair.gateway_dir / "gateway.toml", pair.agent_dir / "agent.toml"
    try:
        room_first(pair, echo)
        steady = source(pair.status()["forwards"][0]["port"])
        check("a stream runs", echoes(steady))
        filler = fill(small)
        without_room(pair, steady, small)
        filler.unlink()
        with_room_again(pair, steady)
        steady.close()
    finally:
        pair.stop()
        echo.close()


def room_first(pair: LocalPair, echo: Echo) -> None:
    port = free_port()
    pair.command(BIN / "culvert-gateway", "init", "--data", pair.gateway_dir, "--hostname", "localhost", "--listen",
                 f"127.0.0.1:{port}")
    text = pair.gateway_config.read_text().replace('#file = ""', 'file = "gateway.log"')
    for old, new in QUICK_END.items():
        text = text.replace(old, new)
    pair.gateway_config.write_text(text)
    pair.start_gateway()
    pair.provider("org", "add", "demo")
    token = pair.provider("join-token", "demo", "here").strip()
    pair.command(BIN / "culvert-agent", "join", token, "--data", pair.agent_dir)
    text = pair.agent_config.read_text().replace('# file = "agent.log"', 'file = "agent.log"')
    pair.agent_config.write_text(text)
    pair.start_agent()
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    pair.provider("target", "add", "demo", "echo", f"127.0.0.1:{echo.port}")
    pair.customer("forward", "add", "echo")


def without_room(pair: LocalPair, steady, small: Path) -> None:
    for sentence, done in (
            ("target add on a full disk", gateway("target", "add", "demo", "more", "192.0.2.1:1", "--config",
                                                  pair.gateway_config)),
            ("org add on a full disk", gateway("org", "add", "more", "--config", pair.gateway_config)),
            ("forward add on a full disk", agent("forward", "add", "more", "--config", pair.agent_config)),
            ("init on a full disk", gateway("init", "--data", small / "second", "--hostname", "localhost"))):
        said = done.err.strip()
        check(f"{sentence} fails with one line that says so: {said[:150]}",
              done.code == 1 and not done.out and len(said.splitlines()) == 1 and
              ("full" in said or "space" in said), done)
    check("no directory was left by init", not (small / "second").exists() or not any((small / "second").iterdir()),
          list((small / "second").rglob("*")) if (small / "second").exists() else "")
    check("the forwards are as before", [f["name"] for f in pair.status()["forwards"]] == ["echo"])
    check("no half-written file is left", not [f for f in small.rglob("*") if ".tmp" in f.name])
    check("the stream goes on", echoes(steady, 1_000_000))
    with source(pair.status()["forwards"][0]["port"]) as fresh:
        check("and new streams open although no log line can be written", echoes(fresh))
    check("both daemons live", pair.gateway.alive() and pair.agent.alive())


def with_room_again(pair: LocalPair, steady) -> None:
    for done in (gateway("target", "add", "demo", "more", "192.0.2.1:1", "--config", pair.gateway_config),
                 agent("forward", "add", "more", "--config", pair.agent_config)):
        check("with room again the same command works", done.code == 0, done)
    status = json.loads(pair.provider("status", "--json"))
    check("the audit log is whole", status["audit"]["intact"], status["audit"])
    check("the stream is still there", echoes(steady))


main(scenario)
