#!/usr/bin/env python3
"""Without [proxy] the squid that https_proxy names is the way to the gateway, for joining too, unless no_proxy lists the
gateway; in capital letters as well. In a network and a mount namespace of its own, where the gateway has a name: one on
localhost is reached directly in any case."""
import os
from typing import Optional

from support import squid
from support.own_network import in_own_network, own_names
from support.play import Scenario, play
from support.proxied import carries, session_state
from support.scenario import QUICK_END, LocalPair, check, wait_until
from support.squid import Squid
from support.tcp import Echo

GATEWAY, OTHER = "gateway.example.test", "other.example.test"
LOWER, CAPITALS = ("https_proxy", "no_proxy"), ("HTTPS_PROXY", "NO_PROXY")


def scenario(scene: Scenario) -> None:
    in_own_network("for a name of the gateway")
    own_names(scene.folder, {GATEWAY: ("127.0.0.1",)})
    home = scene.folder / "squid"
    home.mkdir(mode=0o755)
    proxy, echo, pair = Squid(home, login=[]), Echo(), LocalPair(scene.folder / "pair", GATEWAY)
    for end in (proxy.stop, echo.close, pair.stop):
        scene.stack.callback(end)
    by_squid, url = f"127.0.0.1:{proxy.port}", f"http://127.0.0.1:{proxy.port}"

    environment(LOWER, url, OTHER)
    pair.start_new(QUICK_END)
    port = pair.add_forward("echo", echo.port)
    wait_until("squid saw the two calls of joining end, and that for the session", lambda: proxy.tunnels() >= 3)
    goes(pair, port, "https_proxy alone leads to squid, joining included", by_squid)
    environment(CAPITALS, url, OTHER)
    restart(pair)
    goes(pair, port, "so does HTTPS_PROXY", by_squid)

    proxy.stop()
    for names, listed in ((LOWER, f"{OTHER}, {GATEWAY}"), (CAPITALS, ".example.test")):
        environment(names, url, listed)
        restart(pair)
        goes(pair, port, f"{names[1]}={listed!r} leads past it, even when it is not there", None)


def environment(names: tuple[str, str], proxy: str, exceptions: str) -> None:
    """What programs that start from now on find there about proxies, and nothing else."""
    for name in (*LOWER, *CAPITALS):
        os.environ.pop(name, None)
    os.environ.update(zip(names, (proxy, exceptions)))


def restart(pair: LocalPair) -> None:
    pair.agent.stop()
    pair.start_agent()
    wait_until("a session", lambda: session_state(pair) == "up")


def goes(pair: LocalPair, port: int, sentence: str, proxy: Optional[str]) -> None:
    check(f"a stream goes through: {sentence}", carries(port))
    ways = {lane["proxy"] for lane in pair.status()["lanes"]}
    check(f"and status says that lanes go {f'by {proxy}' if proxy else 'directly'}", ways == {proxy}, ways)


play(scenario, needs=(squid.SQUID,))
