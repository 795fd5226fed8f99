#!/usr/bin/env python3
"""Lanes and REST calls go through a real squid by CONNECT: without a login, Basic, Digest and NTLMv2; refusals are
named with what the proxy offers and what to set, and a refused password is not tried again at once."""
from pathlib import Path

from support import squid
from support.play import Scenario, play
from support.proxied import (carries, pair_with_echo, restart_agent, secret, set_section, wait_for_session,
                             wait_for_trouble)
from support.scenario import check, log_of, run, wait_until
from support.squid import PASSWORD, USER, Squid

METHODS = [("none", "auto"), ("basic", "basic"), ("digest", "digest"), ("digest", "auto"), ("ntlm", "ntlm"),
           ("ntlm", "auto"), ("ntlm_fake", "ntlm")]


def scenario(scene: Scenario) -> None:
    folder = scene.folder
    with pair_with_echo(folder) as (pair, port):
        good = secret(folder, "good.password", PASSWORD)
        wrong = secret(folder, "wrong.password", PASSWORD + "x")
        for number, (kind, auth) in enumerate(METHODS):
            place = folder / f"squid{number}"
            place.mkdir(mode=0o755)
            login = getattr(squid, kind)(place) if kind != "none" else []
            proxy = Squid(place, login)
            url = f"http://127.0.0.1:{proxy.port}"
            try:
                keys = {"user": USER, "password_file": good} if login else {}
                restart_agent(pair, url=url, auth=auth, **keys)
                wait_for_session(pair)
                check(f"squid with {kind} login, auth = {auth}: a stream goes through", carries(port))
                check("the log names the proxy, and no password", f"proxy=127.0.0.1:{proxy.port}" in log_of(pair.agent)
                      and PASSWORD not in log_of(pair.agent))
                if kind in ("basic", "digest", "ntlm") and auth != "auto":
                    refusals(pair, kind, url, wrong, good)
                pair.agent.stop()
                wait_until("squid saw the lane and at least one call end", lambda: proxy.tunnels() >= 2)
            finally:
                proxy.stop()
        set_section(pair.agent_config, "proxy", url="http://127.0.0.1:1")
        pair.start_agent()
        wait_for_trouble(pair, "127.0.0.1:1", "refused the connection", "[proxy]")
        check("a proxy that is not there is told from a gateway that is not", True)
        unsafe(pair, folder)


def refusals(pair, kind: str, url: str, wrong: Path, good: Path) -> None:
    shown = {"basic": "Basic", "digest": "Digest", "ntlm": "NTLM"}[kind]
    restart_agent(pair, url=url, auth=kind, user=USER, password_file=wrong)
    error = wait_for_trouble(pair, "refused the login", USER, kind, "check user and password")
    check(f"{kind}: a wrong password is named: {error}", PASSWORD not in error)
    restart_agent(pair, url=url)
    error = wait_for_trouble(pair, "demands a login", shown, "proxy.user")
    check(f"{kind}: no login at all: {error}", True)
    other = "ntlm" if kind != "ntlm" else "digest"
    restart_agent(pair, url=url, auth=other, user=USER, password_file=good)
    error = wait_for_trouble(pair, f"offers {shown}", f"not {other}", "proxy.auth")
    check(f"{kind}: a method that is not offered: {error}", True)
    if kind == "basic":
        restart_agent(pair, url=url, auth="auto", user=USER, password_file=good)
        error = wait_for_trouble(pair, "in the clear", 'proxy.auth = "basic"')
        check(f"auto does not send a password in the clear: {error}", True)


def unsafe(pair, folder: Path) -> None:
    pair.agent.stop()
    loose = secret(folder, "loose.password", PASSWORD)
    loose.chmod(0o644)
    set_section(pair.agent_config, "proxy", url="http://127.0.0.1:1", user=USER, password_file=loose)
    done = run("culvert-agent", "run", "--config", pair.agent_config)
    check("a password that others can read is refused with the chmod that mends it",
          done.code == 2 and "chmod" in done.err, done)
    set_section(pair.agent_config, "proxy", url=f"http://{USER}:x@127.0.0.1:1")
    done = run("culvert-agent", "run", "--config", pair.agent_config)
    check("a login within the URL of agent.toml is refused", done.code == 2 and "password_file" in done.err, done)


play(scenario, needs=squid.NEEDS)
