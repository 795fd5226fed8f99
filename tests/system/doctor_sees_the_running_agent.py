#!/usr/bin/env python3
"""culvert-agent doctor beside a running agent: what its targets refuse, data that is blocked while control works, an agent
that does not answer, forwards and a depot that cannot work; a middlebox that refuses the upgrade; proxies that want a login,
and which."""
import json
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path

from support import haproxy, squid
from support.proxied import set_section
from support.scenario import agent, check, Done, free_port, how_refused, LocalPair, main, NO_DEPOT, QUICK_END, wait_until
from support.squid import NEEDS, Squid
from support.tcp import DeafTarget, Echo
from support.tls_front import key_of


class Hole:
    """Carries connections to `port`, and swallows what comes after the first bytes of each, in both directions."""

    def __init__(self, port: int, most: int = 6000):
        self.to, self.most = port, most
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # close() was called.
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.to)) as far:
            passed = {near: 0, far: 0}
            while True:
                for end in select.select([near, far], [], [])[0]:
                    try:
                        piece = end.recv(65536)
                        if not piece:
                            return
                        passed[end] += len(piece)
                        if max(passed.values()) <= self.most:
                            (far if end is near else near).sendall(piece)
                    except OSError:
                        return

    def close(self) -> None:
        self._listener.close()


class Doctor:
    def __init__(self, pair: LocalPair):
        self.pair = pair

    def ask(self) -> tuple[Done, list[dict]]:
        began = time.monotonic()
        done = agent("doctor", "--json", "--config", self.pair.agent_config)
        check(f"it took {time.monotonic() - began:.1f} s", time.monotonic() - began < 10)
        return done, json.loads(done.out or "{}").get("findings", [])

    def finds(self, wanted: list[str], *pieces: str, code: int = 1) -> list[dict]:
        done, findings = self.ask()
        found = [finding["id"] for finding in findings]
        check(f"{wanted} is found, and nothing else", done.code == code and found == wanted, done)
        for finding in findings:
            print(f"ok:   {finding['cause']}. {finding['evidence']}")
        check("  with its words", all(piece in done.out for piece in pieces), (pieces, done.out))
        return findings


def scenario(folder: Path) -> None:
    pair, echo, deaf = LocalPair(folder / "pair"), Echo(), DeafTarget()
    doctor = Doctor(pair)
    try:
        pair.start_new(settings={**QUICK_END, '#dial_timeout = "20 s"': 'dial_timeout = "1 s"'}, depot=NO_DEPOT)
        targets(pair, doctor, echo, deaf)
        targets_before_their_first_stream(pair, doctor)
        depot_down(pair, doctor)
        unresponsive(pair, doctor)
        blocked_data(pair, doctor, echo)
        pair.agent.kill()
        upgrades(pair, doctor, folder)
        proxies(pair, doctor, folder)
        refused_site(pair, doctor)
    finally:
        pair.stop()
        echo.close()
        deaf.close()


def targets(pair: LocalPair, doctor: Doctor, echo: Echo, deaf: DeafTarget) -> None:
    for name, address, finding in (("shut", f"127.0.0.1:{free_port()}", "target_refused"),
                                   ("deaf", f"127.0.0.1:{deaf.port}", "target_unreachable"),
                                   ("nameless", "nosuch.invalid:5432", "target_unreachable"),
                                   ("missing", None, "target_not_allowed")):
        if address:
            pair.provider("target", "add", "demo", name, address)
        pair.customer("forward", "add", name)
        port = next(f["port"] for f in pair.status()["forwards"] if f["name"] == name)
        check("the source is reset", how_refused(port) == "reset")
        doctor.finds([finding], name)
        if name == "shut":
            with socket.create_server(("127.0.0.1", int(address.split(":")[1]))):
                with socket.create_connection(("127.0.0.1", port)):
                    wait_until("a stream to it", lambda: pair.status()["forwards"][0]["target_trouble"] is None)
                doctor.finds([], code=0)
        pair.customer("forward", "remove", name)
    (pair.agent_dir / "forwards.d").mkdir(exist_ok=True)
    (pair.agent_dir / "forwards.d/broken.toml").write_text("port = 'x'\n")
    pair.agent.stop()
    doctor.finds(["forward_failed"], "broken")
    pair.start_agent()
    doctor.finds(["forward_failed"], "broken")
    (pair.agent_dir / "forwards.d/broken.toml").unlink()
    pair.agent.stop()
    pair.start_agent()


def targets_before_their_first_stream(pair: LocalPair, doctor: Doctor) -> None:
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")
    pair.customer("forward", "add", "early")
    doctor.finds(["target_not_allowed"], "forward early", "is not one of them")
    pair.agent.stop()
    doctor.finds(["target_not_allowed"], "forward early", "is not one of them")
    pair.start_agent()
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")
    port = next(f["port"] for f in pair.status()["forwards"] if f["name"] == "early")
    check("the source is reset", how_refused(port) == "reset")
    pair.provider("target", "add", "demo", "early", f"127.0.0.1:{free_port()}")
    doctor.finds([], code=0)  # Its stream met an unknown target, which is known by now.
    pair.customer("forward", "remove", "early")


def depot_down(pair: LocalPair, doctor: Doctor) -> None:
    off = pair.agent_config.read_text()
    pair.agent.stop()
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        pair.agent_config.write_text(off.replace(f"[depot]\n{NO_DEPOT}", f'[depot]\nport = {port}\nbind = ["127.0.0.1"]'))
        holds = f"port {port} is in use by process {os.getpid()}"
        doctor.finds(["depot_down"], holds)
        pair.start_agent()
        wait_until("the session", lambda: pair.status()["session"]["state"] == "up")
        doctor.finds(["depot_down"], holds)
        pair.agent.stop()
        pair.agent_config.write_text(off.replace(NO_DEPOT, f"{NO_DEPOT}\nport = {port}"))
        doctor.finds([], code=0)
    pair.agent_config.write_text(off.replace(NO_DEPOT, f"port = {free_port()}"))
    kept = pair.agent_dir / "depot.json"
    kept.write_text("{")
    doctor.finds(["depot_down"], "depot.json")
    pair.start_agent()
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")
    doctor.finds(["depot_down"], "depot.json")
    pair.agent.stop()
    kept.unlink()
    pair.start_agent()
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")
    doctor.finds([], code=0)
    pair.agent.stop()
    pair.agent_config.write_text(off)
    pair.start_agent()
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")


def unresponsive(pair: LocalPair, doctor: Doctor) -> None:
    os.kill(pair.agent.process.pid, signal.SIGSTOP)
    doctor.finds(["agent_unresponsive"])
    os.kill(pair.agent.process.pid, signal.SIGCONT)
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")


def blocked_data(pair: LocalPair, doctor: Doctor, echo: Echo) -> None:
    port = pair.add_forward("echo", echo.port)
    pair.agent.stop()
    hole = Hole(pair.line.port)
    good = pair.agent_config.read_text()
    pair.agent_config.write_text(good.replace(f"localhost:{pair.line.port}", f"localhost:{hole.port}"))
    pair.start_agent()
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    with socket.create_connection(("127.0.0.1", port)) as source:
        source.setblocking(False)
        try:
            for _ in range(100):
                source.send(bytes(65536))
        except BlockingIOError:
            pass
        wait_until("bytes that wait", lambda: pair.status()["backlog_bytes"] > 0)
        findings = doctor.finds(["data_blocked"])
        check("in exactly those words", findings[0]["cause"] == "control works but data is blocked", findings)
    pair.agent.kill()
    hole.close()
    pair.agent_config.write_text(good)
    pair.start_agent()
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    doctor.finds([], code=0)


def upgrades(pair: LocalPair, doctor: Doctor, folder: Path) -> None:
    """A load balancer that ends TLS and lets all through, no upgrade, or only the one that it knows. Neither the certificate
    of the site nor its signature passes it, so that nothing is to be said of the site itself."""
    if haproxy.PROGRAM is None:
        print("not tried: haproxy, which is not installed")
        return
    certificate, key = key_of(pair.gateway_dir)
    both = folder / "front.pem"
    both.write_text(certificate.read_text() + key.read_text())
    good = pair.agent_config.read_text()
    refused = ("upgrade_refused", "HTTP status 403", "it ends TLS itself", "signed by")
    ended = ("tls_interception", "TLS is ended on the way", "which this agent trusts", "the gateway answered 401")
    for rule, identity, (finding, *pieces) in (
            ("http-request deny if { hdr(Upgrade) -m found }", "auto", refused),
            ("http-request deny if { hdr(Upgrade) -m beg culvert }", "auto", refused),
            ("", "auto", ended),
            ("", "certificate", ended),
            ("http-request del-header Upgrade", "auto", ended),
            ("http-request return status 502 if { hdr(Upgrade) -m found }", "auto", ended)):
        port = free_port()
        front = haproxy.haproxy(folder, port, pair.line.port, bind=f"ssl crt {both} ssl-min-ver TLSv1.3", rule=rule,
                                server="ssl verify none")
        try:
            wait_until("the load balancer", lambda at=port: answers(at))
            pair.agent_config.write_text(good.replace(f"localhost:{pair.line.port}", f"localhost:{port}"))
            set_section(pair.agent_config, "transport", identity=identity)
            doctor.finds([finding], *pieces)
        finally:
            front.kill()
    pair.agent_config.write_text(good)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def proxies(pair: LocalPair, doctor: Doctor, folder: Path) -> None:
    set_section(pair.agent_config, "proxy", url=f"http://127.0.0.1:{free_port()}")
    # A loopback gateway goes by way of a proxy only when agent.toml names one.
    doctor.finds(["proxy_failed"])
    with socket.create_server(("127.0.0.1", 0)) as strict:
        threading.Thread(target=forbid, args=(strict,), daemon=True).start()
        set_section(pair.agent_config, "proxy", url=f"http://127.0.0.1:{strict.getsockname()[1]}")
        doctor.finds(["proxy_refuses"], "403")
    if all(Path(program).exists() for program in NEEDS):
        logins_of_squid(pair, doctor, folder)
    else:
        print("not tried: squid, which is not installed")
    set_section(pair.agent_config, "proxy")


def forbid(listener: socket.socket) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return  # It was closed.
        with peer:
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def logins_of_squid(pair: LocalPair, doctor: Doctor, folder: Path) -> None:
    folder.chmod(0o711)  # For squid, which is another user.
    logins = {"Basic": squid.basic, "NTLM": squid.ntlm, "Negotiate": lambda there: [
        line.replace("auth_param ntlm", "auth_param negotiate") for line in squid.ntlm(there)]}
    for name, login in logins.items():
        there = folder / name
        there.mkdir()
        proxy = Squid(there, login(there), name.lower())
        try:
            set_section(pair.agent_config, "proxy", url=f"http://127.0.0.1:{proxy.port}")
            doctor.finds(["proxy_needs_login"], name)
        finally:
            proxy.stop()


def refused_site(pair: LocalPair, doctor: Doctor) -> None:
    doctor.finds([], code=0)
    pair.provider("site", "remove", "demo", "here")
    doctor.finds(["identity_refused"])


main(scenario)
