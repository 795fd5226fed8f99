#!/usr/bin/env python3
"""Gateway, source and target on IPv6 alone."""
import socket
from pathlib import Path

from support.scenario import BIN, QUICK_END, LocalPair, Skip, check, free_port6, main, wait_until
from support.tcp import Echo, echoes, source


def scenario(folder: Path) -> None:
    try:
        port = free_port6()
    except OSError as lack:
        raise Skip(f"no IPv6 loopback here: {lack}") from None
    pair, echo = LocalPair(folder), Echo("::1")
    try:
        pair.command(BIN / "culvert-gateway", "init", "--data", pair.gateway_dir, "--hostname", "::1", "--listen",
                     f"[::1]:{port}")
        for old, new in QUICK_END.items():
            pair.gateway_config.write_text(pair.gateway_config.read_text().replace(old, new))
        pair.start_gateway()
        pair.provider("org", "add", "demo")
        pair.provider("target", "add", "demo", "echo", f"[::1]:{echo.port}")
        token = pair.provider("join-token", "demo", "here").strip()
        joined = pair.command(BIN / "culvert-agent", "join", token, "--data", pair.agent_dir)
        check("the joining string leads to the address in brackets", f"https://[::1]:{port}" in joined, joined)
        pair.start_agent()
        wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
        pair.customer("forward", "add", "echo")
        forward = pair.status()["forwards"][0]
        with source(forward["port"], "::1") as stream:
            check("a source on IPv6 reaches a target on IPv6", echoes(stream))
        with source(forward["port"], "127.0.0.1") as stream:
            check("the same port serves a source on IPv4", echoes(stream))
        pair.customer("forward", "remove", "echo")
        pair.customer("forward", "add", "echo", "--bind", "::1", "--allow-from", "::1/128")
        port = pair.status()["forwards"][0]["port"]
        with source(port, "::1") as stream:
            check("bind and allow-from understand IPv6", echoes(stream))
        with socket.socket() as probe:
            check("and the port is not open on IPv4 then", probe.connect_ex(("127.0.0.1", port)) != 0)
    finally:
        pair.stop()
        echo.close()


main(scenario)
