#!/usr/bin/env python3
"""Middleboxes that do not let ALPN culvert/1 pass: by an alert, a cut or silence. The agent proves its identity by a
signature, for calls and lanes; a removed site stays out; the proof is worth nothing to somebody who ends TLS."""
import json
import socket
import ssl
import time

from support.connect_proxy import ConnectProxy
from support.play import Scenario, play
from support.proxied import carries, pair_with_echo, set_section, wait_for_session, wait_for_trouble
from support.scenario import agent, check, log_of, wait_until
from support.tls_front import Seen, TlsFront, key_of

ALERT = bytes((21, 3, 3, 0, 2, 2, 120))  # Fatal: no_application_protocol.


def by_alert(hello: bytes):
    return ALERT if b"culvert/1" in hello else None


def by_cut(hello: bytes):
    return b"" if b"culvert/1" in hello else None


def by_silence(hello: bytes):
    if b"culvert/1" not in hello:
        return None
    time.sleep(8)  # Longer than the agent waits for this way.
    return b""


def start_agent(pair, url: str, **transport: str) -> None:
    pair.agent.stop()
    set_section(pair.agent_config, "proxy", **({"url": url} if url else {}))
    set_section(pair.agent_config, "transport", **transport)
    pair.start_agent()


def scenario(scene: Scenario) -> None:
    with pair_with_echo(scene.folder) as (pair, port):
        for how in (by_alert, by_cut, by_silence):
            proxy = ConnectProxy(greedy=how, reset=how is not by_alert)
            start_agent(pair, f"http://127.0.0.1:{proxy.port}")
            wait_for_session(pair, 60)
            check(f"{how.__name__}: a stream goes through", carries(port))
            wait_until(f"{how.__name__}: the middlebox has met culvert/1", lambda p=proxy: p.forged >= 1)
            seen = agent("doctor", "--config", pair.agent_config, "--json")
            ids = [finding["id"] for finding in json.loads(seen.out)["findings"]]
            check(f"{how.__name__}: doctor notes it and is content", seen.code == 0 and ids == ["alpn_blocked"], seen)
            before = proxy.forged
            pair.line.cut()
            pair.line.mend()
            wait_until("the session is back", lambda: pair.status()["session"]["state"] == "up")
            check(f"{how.__name__}: and what worked is remembered", carries(port) and proxy.forged == before,
                  (before, proxy.forged))
            proxy.close()
        direct(pair, port)
        fixed(pair)
        ended_tls(pair)
        removed(pair)


def direct(pair, port: int) -> None:
    """Without a proxy: the first call goes by cpprest."""
    guard = Guard(pair.line.port)
    text = pair.agent_config.read_text()
    pair.agent.stop()
    pair.agent_config.write_text(text.replace(f"localhost:{pair.line.port}", f"localhost:{guard.port}"))
    start_agent(pair, "")
    wait_for_session(pair)
    check("without a proxy as well", carries(port))
    pair.agent.stop()
    pair.agent_config.write_text(text)
    guard.close()


class Guard(ConnectProxy):
    """The same middlebox without CONNECT, before one port."""

    def __init__(self, target: int):
        self._target = target
        super().__init__(greedy=by_alert, reset=False)

    def serve(self, near: socket.socket) -> None:
        try:
            self._carry(near, socket.create_connection(("127.0.0.1", self._target), timeout=5))
        except OSError:
            near.close()


def fixed(pair) -> None:
    proxy = ConnectProxy(greedy=by_alert, reset=False)
    start_agent(pair, f"http://127.0.0.1:{proxy.port}", identity="certificate")
    error = wait_for_trouble(pair, "TLS")
    check(f"identity = certificate tries nothing else: {error}", "culvert/1" in error or "application" in error, error)
    proxy.close()


def ended_tls(pair) -> None:
    """Somebody with the gateway's own key in between, who passes every request on over a connection of his own."""
    def pass_on(seen: Seen) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        with socket.create_connection(("127.0.0.1", pair.line.port), timeout=10) as far:
            with context.wrap_socket(far, server_hostname="localhost") as tls:
                tls.sendall(seen.head.encode() + b"\r\n" + seen.body)
                back = b""
                while b"\r\n\r\n" not in back or b"}" not in back:
                    piece = tls.recv(65536)
                    if not piece:
                        break
                    back += piece
                return back

    middle = TlsFront(*key_of(pair.gateway_dir), pass_on)
    text = pair.agent_config.read_text()
    pair.agent.stop()
    pair.agent_config.write_text(text.replace(f"localhost:{pair.line.port}", f"localhost:{middle.port}"))
    start_agent(pair, "", identity="proof")
    error = wait_for_trouble(pair, "ends TLS")
    check(f"whoever ends TLS cannot use the proof: {error}", middle.seen[0].header("Culvert-Site-Proof"))
    check("requests with a proof are small", max(seen.wire_bytes for seen in middle.seen) < 2048,
          [seen.wire_bytes for seen in middle.seen])
    middle.close()
    pair.agent.stop()
    pair.agent_config.write_text(text)


def removed(pair) -> None:
    start_agent(pair, "", identity="proof")
    wait_for_session(pair)
    pair.provider("site", "remove", "demo", "here")
    pair.agent.stop()
    pair.start_agent()
    error = wait_for_trouble(pair, "401")
    check(f"a removed site stays out with its proof as well: {error}", True)
    check("and the gateway says so", "revoked" in log_of(pair.gateway) or "unauthorized" in log_of(pair.gateway))


play(scenario)
