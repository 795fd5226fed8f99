#!/usr/bin/env python3
"""A gateway that is down at start, a path that swallows everything, ports that close with the session: the agent is
ready anyway, sources wait, nothing dead is shown as healthy for more than 3 s, and everything comes back."""
import time
from pathlib import Path

from support.both_ends import BothEnds
from support.scenario import (LocalPair, agent, check, free_port, how_refused, log_of, main, refuses, wait_for_log,
                              wait_until)
from support.tcp import Echo, echoes, source
from local_pair import accepts


def scenario(folder: Path) -> None:
    pair, echo = LocalPair(folder), Echo()
    try:
        pair.start_new()
        port = pair.add_forward("echo", echo.port)
        closing = free_port()
        pair.provider("target", "add", "demo", "closing", f"127.0.0.1:{echo.port}")
        pair.customer("forward", "add", "closing", "--port", closing, "--close-when-down")
        allowed_from(pair, echo)
        gateway_down_at_start(pair, port, closing)
        dead_path(pair, port, closing)
    finally:
        pair.stop()
        echo.close()


def forward_state(pair: LocalPair, name: str) -> dict:
    return next(f for f in pair.status()["forwards"] if f["name"] == name)


def allowed_from(pair: LocalPair, echo: Echo) -> None:
    pair.provider("target", "add", "demo", "walled", f"127.0.0.1:{echo.port}")
    pair.customer("forward", "add", "walled", "--allow-from", "192.0.2.0/24")
    port, before = forward_state(pair, "walled")["port"], echo.accepted
    check("a source that allow_from does not name is reset", how_refused(port) == "reset")
    line = wait_for_log(pair.agent, "forward=walled", "refused", "allow_from")
    check("the agent's log names forward, port and source", f"port={port}" in line and "127.0.0.1" in line, line)
    check("and nothing reached the target", echo.accepted == before)
    taken = forward_state(pair, "echo")["port"]
    refuses("a port of another forward is not given away",
            agent("forward", "add", "second", "--port", taken, "--config", pair.agent_config), 1, str(taken), "echo")
    refuses("a port of another program is named",
            agent("forward", "add", "second", "--port", echo.port, "--config", pair.agent_config), 1, str(echo.port),
            "in use")
    check("neither left a forward", all(f["name"] != "second" for f in pair.status()["forwards"]))


def gateway_down_at_start(pair: LocalPair, port: int, closing: int) -> None:
    pair.agent.stop()
    pair.gateway.stop()
    began = time.monotonic()
    pair.start_agent()  # Waits for the line `ready`.
    check("the agent is ready without its gateway", time.monotonic() - began < 5, time.monotonic() - began)
    check("and opens its ports", accepts(port))
    status = pair.status()
    check("status says the session is not up, and why", status["session"]["state"] in ("connecting", "down"),
          status["session"])
    waiting = source(port)
    waiting.sendall(b"early")
    wait_until("the stream is shown as waiting", lambda: pair.status()["streams"]["open"] >= 1)
    wait_until("the port with close_when_down closes", lambda: forward_state(pair, "closing")["state"] == "closed", 15)
    check("it closes 5 s after the start, not before", 4 < time.monotonic() - began < 10,
          pair.agent.log_end(30))
    check("and refuses", not accepts(closing))
    check("the trouble is one line in the log, not one per attempt",
          log_of(pair.agent).count("no session with") <= 4, pair.agent.log_end(30))
    pair.start_gateway()
    waiting.settimeout(20)
    check("the source that waited is connected when the gateway comes up", waiting.recv(5) == b"early")
    check("and its stream works", echoes(waiting))
    waiting.close()
    wait_until("the closed port opens again", lambda: accepts(closing), 10)
    check("the closed port opens again", True)


def dead_path(pair: LocalPair, port: int, closing: int) -> None:
    stream = source(port)
    check("a stream before the stall", echoes(stream))
    with BothEnds(pair) as ends:
        pair.line.stall()
        began = time.monotonic()
        wait_until("the port with close_when_down closes", lambda: not accepts(closing), 15)
        took = time.monotonic() - began
    ends.show_as_dead("a path that swallows everything", began, within=3)
    check(f"the port with close_when_down closes 5 s after the path is known dead ({took:.1f} s)", 6 < took < 12)
    check("the other port stays open", accepts(port))
    pair.line.cut()  # What was swallowed is lost; new connections go through again.
    pair.line.mend()
    wait_until("the session is up again", lambda: pair.status()["session"]["state"] == "up", 15)
    check("the stream goes on as if nothing had been", echoes(stream))
    wait_until("the closed port opens again", lambda: accepts(closing), 10)
    check("and the closed port is open again", True)
    stream.close()


main(scenario)
