#!/usr/bin/env python3
"""A target that refuses, does not answer, is unknown, of another org or forbidden: the source is reset, both logs name
the reason, and the stream beside it goes on."""
import json
import socket
from pathlib import Path

from support.scenario import (QUICK_END, LocalPair, check, free_port, gateway, how_refused, main, refuses, reset,
                              wait_for_log, wait_until)
from support.tcp import DeafTarget, Echo, echoes, source


def loopback_name() -> str:
    """A name, not localhost, that this host resolves to loopback; empty when it has none."""
    lines = [line.split("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines()]
    names = [name for words in lines if words and words[0].startswith("127.") for name in words[1:]]
    return next((name for name in [*names, socket.gethostname()] if name not in ("localhost", "localhost.localdomain")
                 and resolves_to_loopback(name)), "")


def resolves_to_loopback(name: str) -> bool:
    try:
        return all(entry[4][0].startswith(("127.", "::1")) for entry in socket.getaddrinfo(name, 1))
    except OSError:
        return False


def scenario(folder: Path) -> None:
    pair, echo, deaf = LocalPair(folder), Echo(), DeafTarget()
    try:
        pair.start_new(settings={**QUICK_END, '#dial_timeout = "20 s"': 'dial_timeout = "1 s"',
                                 "#dials_per_session = 20000": "dials_per_session = 2"})
        failures(pair, echo, deaf)
        dial_limit(pair)
    finally:
        pair.stop()
        echo.close()
        deaf.close()


def dial_limit(pair: LocalPair) -> None:
    port = next(f["port"] for f in pair.status()["forwards"] if f["name"] == "deaf")
    dialled = [source(port) for _ in range(2)]
    wait_until("two dials", lambda: json.loads(pair.provider("status", "--json"))["streams"]["open"] == 2)
    for each in dialled:
        reset(each)
    check("two dials at once are allowed: a third stream is reset, although both sources have gone", how_refused(port) == "reset")
    wait_for_log(pair.gateway, "target=deaf", "dial_limit_reached")


def failures(pair: LocalPair, echo: Echo, deaf: DeafTarget) -> None:
    steady = source(pair.add_forward("steady", echo.port))
    check("a stream to a good target echoes", echoes(steady))
    pair.provider("org", "add", "other")
    pair.provider("target", "add", "other", "theirs", f"127.0.0.1:{echo.port}")

    cases = [("refused", f"127.0.0.1:{free_port()}", "target_refused"),
             ("deaf", f"127.0.0.1:{deaf.port}", "target_timed_out"),
             ("nameless", "nosuch.invalid:5432", "target_name_unresolved"),
             ("missing", None, "target_unknown"),
             ("theirs", None, "target_unknown")]
    if name := loopback_name():
        cases.append(("inside", f"{name}:{echo.port}", "target_address_forbidden"))
    else:
        print("not tried: no name here but localhost resolves to loopback")

    before = echo.accepted
    for target, address, reason in cases:
        if address:
            pair.provider("target", "add", "demo", target, address)
        pair.customer("forward", "add", target)
        port = next(f["port"] for f in pair.status()["forwards"] if f["name"] == target)
        ended = how_refused(port)
        check(f"{reason}: the source is reset", ended == "reset", ended)
        ours = wait_for_log(pair.agent, f"target={target}", reason)
        theirs = wait_for_log(pair.gateway, f"target={target}", reason, "org=demo", "site=here")
        check(f"{reason}: both logs name it", "WARN" in ours.upper() and "WARN" in theirs.upper(), ours + "\n" + theirs)
    check("no refused stream reached a target", echo.accepted == before, echo.accepted)
    check("the stream beside them goes on", echoes(steady))

    refuses("what is no address is refused by the command",
            gateway("target", "add", "demo", "bad", "no port", "--config", pair.gateway_config), 2)
    pair.provider("target", "remove", "demo", "steady")
    port = next(f["port"] for f in pair.status()["forwards"] if f["name"] == "steady")
    check("a target that was taken away is refused from the next stream on", how_refused(port) == "reset")
    check("and the stream that was open goes on", echoes(steady))
    status = pair.status()
    check("status counts the resets", status["streams"]["reset_total"] == len(cases) + 1, status["streams"])
    steady.close()
    wait_until("no stream is left", lambda: pair.status()["streams"]["open"] == 0)


main(scenario)
