#!/usr/bin/env python3
"""Sessions whose lanes go by WebSocket, with certificate and with proof: large streams, half-closes, cuts and resume as
ever; and where the carrier is left open, one session changes it from one cut to the next, as what is refused changes."""
import os
import threading
from typing import Callable

from support.play import Scenario, play
from support.proxied import carries, pair_with_echo, set_section
from support.scenario import check, log_of, wait_until
from support.tcp import source
from support.trusted_front import TrustedFront

# What a front refuses from one cut to the next, so that lanes have to go by the other.
REFUSED = ("culvert/1", "websocket", "culvert/1")


def restart(pair, **transport: str) -> None:
    pair.agent.stop()
    set_section(pair.agent_config, "transport", **transport)
    pair.start_agent()
    wait_until(f"a session with {transport}", lambda: pair.status()["session"]["state"] == "up")


def survives_cuts(pair, port: int, size: int, before_cut: Callable[[int], None] = lambda cut: None) -> bool:
    """All bytes come back although the line is cut, three times, while they are on their way."""
    sent, back = os.urandom(size), bytearray()
    with source(port) as stream:
        stream.settimeout(60)
        sender = threading.Thread(target=stream.sendall, args=(sent,), daemon=True)
        sender.start()
        cuts = 0
        while len(back) < size:
            piece = stream.recv(65536)
            if not piece:
                return False
            back += piece
            if len(back) > (cuts + 1) * size // 4 and cuts < 3:
                before_cut(cuts)
                cuts += 1
                pair.line.cut()
                pair.line.mend()
        sender.join()
    return bytes(back) == sent


def scenario(scene: Scenario) -> None:
    with pair_with_echo(scene.folder) as (pair, port):
        for transport in ({"carrier": "websocket"}, {"carrier": "websocket", "identity": "proof"},
                          {"identity": "proof"}, {}):
            restart(pair, **transport)
            shown = transport or "the defaults"
            check(f"{shown}: small streams", all(carries(port, size) for size in (1, 100, 16_384, 200_000)))
            check(f"{shown}: 24 MB through three cuts", survives_cuts(pair, port, 24_000_000))
            # The last bytes may have been on this side of the line when it was cut for the last time.
            wait_until(f"{shown}: a lane after the cuts", lambda: pair.status()["session"]["state"] == "up")
            status = pair.status()
            check(f"{shown}: no stream was reset", status["streams"]["reset_total"] == 0, status["streams"])
            check(f"{shown}: lanes are up", any(lane["state"] == "up" for lane in status["lanes"]), status["lanes"])
            carriers = {lane["carrier"] for lane in status["lanes"]}
            check(f"{shown}: and status names their carrier", carriers == {transport.get("carrier", "culvert")}, status["lanes"])
            check(f"{shown}: nobody had to find another way", "something on the way" not in log_of(pair.agent))
        changes_from_cut_to_cut(pair, port)


def changes_from_cut_to_cut(pair, port: int) -> None:
    front = TrustedFront(pair.gateway_dir, pair.agent_dir, pair.line.port)
    text = pair.agent_config.read_text()
    pair.agent_config.write_text(text.replace(f"localhost:{pair.line.port}", f"localhost:{front.port}"))
    restart(pair)
    began = pair.status()
    check("through a front that makes the proofs anew, lanes go as ever",
          set(front.lanes) == {"culvert/1"} and {lane["carrier"] for lane in began["lanes"]} == {"culvert"}, front.lanes)

    def wait_for_the_other() -> None:
        wait_until("a lane by what is not refused", lambda: front.lanes[-1] != front.refused)

    def refuse(cut: int) -> None:
        wait_for_the_other()  # What comes back may have been on its way before the cut.
        front.refused = REFUSED[cut]

    check("8 MB through three cuts, each of which turns the refusals round", survives_cuts(pair, port, 8_000_000, refuse))
    wait_for_the_other()
    wait_until("a lane after the cuts", lambda: pair.status()["session"]["state"] == "up")
    status, lanes = pair.status(), iter(front.lanes)
    check("lanes went by culvert/1, by WebSocket, by culvert/1 and by WebSocket again",
          all(way in lanes for way in ["culvert/1", "websocket"] * 2), front.lanes)
    check("as status says", {lane["carrier"] for lane in status["lanes"]} == {"websocket"}, status["lanes"])
    check("all in one session, and no stream was reset",
          status["session"]["id"] == began["session"]["id"] and status["streams"]["reset_total"] == 0, status)
    check("the log says why", "something on the way refuses Upgrade: culvert/1: lanes go by WebSocket" in log_of(pair.agent))
    pair.agent.stop()
    front.close()


play(scenario)
