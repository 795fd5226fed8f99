#!/usr/bin/env python3
"""Sessions whose lanes go by WebSocket, with certificate and with proof: large streams, half-closes, cuts and resume as
ever; and one session may change its carrier from one cut to the next."""
import os
import threading

from support.play import Scenario, play
from support.proxied import carries, pair_with_echo, set_section
from support.scenario import check, log_of, wait_until
from support.tcp import source


def restart(pair, **transport: str) -> None:
    pair.agent.stop()
    set_section(pair.agent_config, "transport", **transport)
    pair.start_agent()
    wait_until(f"a session with {transport}", lambda: pair.status()["session"]["state"] == "up")


def survives_cuts(pair, port: int, size: int) -> bool:
    """All bytes come back although the line is cut while they are on their way."""
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
            status = pair.status()
            check(f"{shown}: no stream was reset", status["streams"]["reset_total"] == 0, status["streams"])
            check(f"{shown}: lanes are up", any(lane["state"] == "up" for lane in status["lanes"]), status["lanes"])
            carriers = {lane["carrier"] for lane in status["lanes"]}
            check(f"{shown}: and status names their carrier", carriers == {transport.get("carrier", "culvert")}, status["lanes"])
            check(f"{shown}: nobody had to find another way", "something on the way" not in log_of(pair.agent))


play(scenario)
