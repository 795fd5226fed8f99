#!/usr/bin/env python3
"""A proxy that cuts every connection after a second, with resets or orderly: streams in use go on, byte for byte; one
that cuts what is idle finds nothing idle. Requests to the proxy are small."""
import os
import socket
import threading
import time

from support.connect_proxy import ConnectProxy
from support.play import Scenario, play
from support.proxied import carries, pair_with_echo, restart_agent, wait_for_session
from support.scenario import check, log_of, wait_until
from support.tcp import source


def slow_echo(port: int, seconds: float) -> bool:
    """Bytes at a low rate for a while, all of which come back in order before the orderly end."""
    back, sent = bytearray(), bytearray()
    with source(port) as stream:
        stream.settimeout(60)

        def read() -> None:
            while piece := stream.recv(65536):
                back.extend(piece)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            piece = os.urandom(20_000)
            sent.extend(piece)
            stream.sendall(piece)
            time.sleep(0.02)  # The rate, not a wait for anything.
        stream.shutdown(socket.SHUT_WR)
        reader.join(60)
    return not reader.is_alive() and bytes(back) == bytes(sent)


def scenario(scene: Scenario) -> None:
    with pair_with_echo(scene.folder) as (pair, port):
        for reset in (True, False):
            proxy = ConnectProxy(cut_after=1.0, reset=reset)
            restart_agent(pair, url=f"http://127.0.0.1:{proxy.port}")
            wait_for_session(pair)
            how = "resets" if reset else "orderly closes"
            check(f"a stream in use lives through cuts ({how})", slow_echo(port, 6))
            check("the proxy has cut several times", proxy.cuts >= 4, proxy.cuts)
            status = pair.status()
            check("and no stream was reset", status["streams"]["reset_total"] == 0, status["streams"])
            shown = {lane["proxy"] for lane in status["lanes"]}
            check("status names the proxy of each lane", shown <= {f"127.0.0.1:{proxy.port}"}, status["lanes"])
            check("what is said to the proxy is small", proxy.largest_request < 512, proxy.largest_request)
            proxy.close()
        proxy = ConnectProxy(idle=2.0)
        restart_agent(pair, url=f"http://127.0.0.1:{proxy.port}")
        wait_for_session(pair)
        wait_until("the call that opened the session has ended", lambda: proxy.opened >= 2)
        cuts = proxy.cuts
        with source(port) as stream:
            before = time.monotonic()
            wait_until("five idle seconds", lambda: time.monotonic() > before + 5, 10)
            stream.sendall(b"still there?")
            check("an idle stream answers after five seconds", stream.recv(100) == b"still there?")
        check("no lane was idle for two seconds", "lost lanes" not in log_of(pair.agent) and proxy.cuts == cuts,
              log_of(pair.agent))
        check("and a new stream goes through as well", carries(port))
        proxy.close()


play(scenario)
