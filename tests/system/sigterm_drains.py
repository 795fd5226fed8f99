#!/usr/bin/env python3
"""SIGTERM to either daemon: the running stream goes on for drain_timeout, new ones are refused, then it is reset; a
second signal ends at once; the exit code is 0; an agent without streams ends at once. SIGHUP ends nothing."""
import contextlib
import signal
import time
from pathlib import Path

from support.scenario import (LocalPair, Process, agent, check, end_of, log_of, main, refuses, wait_for_log,
                              wait_until)
from support.tcp import Echo, echoes, source
from local_pair import accepts

DRAIN_SECONDS = 3


def scenario(folder: Path) -> None:
    pair, echo = LocalPair(folder), Echo()
    try:
        pair.start_new(settings={'#drain_timeout = "30 s"': f'drain_timeout = "{DRAIN_SECONDS} s"'})
        text = pair.agent_config.read_text()
        pair.agent_config.write_text(text.replace('# drain_timeout = "30 s"', f'drain_timeout = "{DRAIN_SECONDS} s"'))
        pair.agent.stop()
        pair.start_agent()
        port = pair.add_forward("echo", echo.port)
        hangup(pair, port)
        gateway_drains(pair, echo, port)
        agent_drains(pair, echo, port)
        second_signal(pair, port)
        idle(pair)
    finally:
        pair.stop()
        echo.close()


def ended(process: Process, within: float) -> bool:
    """Exit code 0 within the time."""
    return process.process.wait(within) == 0


def up(pair: LocalPair) -> None:
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")


def hangup(pair: LocalPair, port: int) -> None:
    running = source(port)
    for daemon in (pair.agent, pair.gateway):
        daemon.process.send_signal(signal.SIGHUP)
        wait_for_log(daemon, "SIGHUP: nothing to load again")
    check("SIGHUP leaves a running stream alone", echoes(running))
    running.close()


def gateway_drains(pair: LocalPair, echo: Echo, port: int) -> None:
    running = source(port)
    check("a stream runs", echoes(running))
    before, began = echo.accepted, time.monotonic()
    pair.gateway.process.send_signal(signal.SIGTERM)
    wait_for_log(pair.agent, "the gateway is draining")
    check("the agent's log says that the gateway drains", True)
    check("the running stream goes on while the gateway drains", echoes(running))
    check("the agent's status says so too", pair.status()["session"]["draining"] == "gateway", pair.status()["session"])
    with contextlib.suppress(OSError), source(port) as late:  # Its reset may be here before connect() returns.
        late.sendall(b"late")
        late.recv(1)
    check("the running stream is reset when drain_timeout is over", end_of(running, 10) == "reset")
    took = time.monotonic() - began
    check(f"not before, and not long after ({took:.1f} s)", DRAIN_SECONDS - 0.5 < took < DRAIN_SECONDS + 2)
    check("the gateway ends with 0", ended(pair.gateway, 5))
    check("no new stream reached the target meanwhile", echo.accepted == before, echo.accepted)
    check("the log says what was left to be reset", "resetting the streams that still run" in log_of(pair.gateway))
    pair.start_gateway()
    up(pair)
    again = source(port)
    check("after its start the agent is back by itself", echoes(again))
    again.close()


def agent_drains(pair: LocalPair, echo: Echo, port: int) -> None:
    running = source(port)
    check("a stream runs", echoes(running))
    began = time.monotonic()
    pair.agent.process.send_signal(signal.SIGTERM)
    wait_until("the port closes", lambda: not accepts(port), 3)
    check("an agent that drains takes no new sources", not accepts(port))
    check("status says that it drains", pair.status()["session"]["draining"] == "agent", pair.status()["session"])
    refuses("and it adds no forward whose port would stay closed",
            agent("forward", "add", "late", "--config", pair.agent_config), 1, "stopping")
    check("the running stream goes on while the agent drains", echoes(running))
    check("it is reset when drain_timeout is over", end_of(running, 10) == "reset")
    took = time.monotonic() - began
    check(f"not before, and not long after ({took:.1f} s)", DRAIN_SECONDS - 0.5 < took < DRAIN_SECONDS + 2)
    check("the agent ends with 0", ended(pair.agent, 5))
    wait_for_log(pair.gateway, "session ended", "session_closed", "INFO")
    check("the gateway knows that the session was closed in order", True)
    pair.start_agent()
    up(pair)


def second_signal(pair: LocalPair, port: int) -> None:
    for name, restart in (("gateway", pair.start_gateway), ("agent", pair.start_agent)):
        running = source(port)
        check(f"a stream runs before two signals to the {name}", echoes(running))
        daemon = getattr(pair, name)
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        wait_for_log(daemon, "draining: no new streams")
        daemon.process.send_signal(signal.SIGTERM)
        check("a second signal resets the stream at once", end_of(running, 10) == "reset")
        check(f"and the {name} ends with 0", ended(daemon, 5))
        took = time.monotonic() - began
        check(f"without waiting for drain_timeout ({took:.1f} s)", took < DRAIN_SECONDS - 0.5)
        restart()
        up(pair)


def idle(pair: LocalPair) -> None:
    for name, signal_number in (("agent", signal.SIGINT), ("gateway", signal.SIGTERM)):
        daemon = getattr(pair, name)
        began = time.monotonic()
        daemon.process.send_signal(signal_number)
        check(f"the {name} without streams ends with 0", ended(daemon, 5))
        took = time.monotonic() - began
        check(f"and at once ({took:.1f} s)", took < 2)


main(scenario)
