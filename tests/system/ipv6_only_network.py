#!/usr/bin/env python3
"""A network without any IPv4 address, in a namespace of its own: joining, calls, lanes, sources and targets, directly
and through a proxy that has an IPv6 address alone."""
import os
import shutil
import subprocess
import sys

from support.connect_proxy import ConnectProxy
from support.play import SKIPPED, Scenario, play
from support.proxied import set_section
from support.scenario import BIN, LocalPair, check, free_port6, wait_until
from support.tcp import Echo, echoes, source

INSIDE = "CULVERT_TEST_INSIDE_NAMESPACE"
ADDRESS = "fd00:c0de::5"


def enter_namespace() -> None:
    """Becomes this script again, in a network namespace that knows only IPv6."""
    wanted = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    if shutil.which("unshare") is None or subprocess.run([*wanted, "true"], capture_output=True, check=False).returncode:
        print("skipped: no network namespace can be made here", file=sys.stderr)
        sys.exit(SKIPPED)
    os.environ[INSIDE] = "1"
    os.execvp(wanted[0], [*wanted, sys.executable, *sys.argv])


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def scenario(scene: Scenario) -> None:
    ip("link", "set", "lo", "up")
    ip("-4", "addr", "flush", "dev", "lo")
    ip("-6", "addr", "add", f"{ADDRESS}/128", "dev", "lo")
    seen = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    check("there is no IPv4 address", not seen, seen)

    pair, echo, port = LocalPair(scene.folder / "pair"), Echo(ADDRESS), free_port6()
    pair.folder.mkdir()
    scene.stack.callback(echo.close)
    scene.stack.callback(pair.stop)
    pair.command(BIN / "culvert-gateway", "init", "--data", pair.gateway_dir, "--hostname", ADDRESS, "--listen",
                 f"[::]:{port}")
    pair.start_gateway()
    pair.provider("org", "add", "demo")
    pair.provider("target", "add", "demo", "echo", f"[{ADDRESS}]:{echo.port}")
    token = pair.provider("join-token", "demo", "here").strip()
    joined = pair.command(BIN / "culvert-agent", "join", token, "--data", pair.agent_dir)
    check("a site joins", f"https://[{ADDRESS}]:{port}" in joined, joined)
    pair.start_agent()
    pair.customer("forward", "add", "echo")
    passes(pair, "directly")
    pair.agent.stop()
    proxy = ConnectProxy("::1")
    set_section(pair.agent_config, "proxy", url=f"http://[::1]:{proxy.port}")
    pair.start_agent()
    passes(pair, "through a proxy on IPv6")
    check("and the proxy has carried it", proxy.opened >= 2, proxy.opened)


def passes(pair: LocalPair, how: str) -> None:
    wait_until(f"a session {how}", lambda: pair.status()["session"]["state"] == "up")
    with source(pair.status()["forwards"][0]["port"], ADDRESS) as stream:
        check(f"a stream goes {how}", echoes(stream))


if INSIDE not in os.environ:
    enter_namespace()
play(scenario, needs=("ip",))
