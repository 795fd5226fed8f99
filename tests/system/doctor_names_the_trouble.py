#!/usr/bin/env python3
"""culvert-agent doctor on faults that are really there: names, ports, servers that are no gateway, certificates, clocks,
ports and disks of this machine. It leaves with 1 and the right finding, with 0 where nothing is wrong, within 10 s."""
import http.server
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from support.scenario import agent, BIN, check, Done, free_port, LocalPair, main, NO_DEPOT, refuses, Skip

RUNS_WITHOUT_ALARM = 1  # doctor_raises_no_false_alarm.py has more.
PERIODS = {"certificate_expired": ("20200101000000Z", "20200201000000Z"),
           "certificate_not_yet_valid": ("20990101000000Z", "20990201000000Z")}


class Server:
    """Answers every GET with one reply; over TLS where `identity` names NAME.pem and NAME.key."""

    def __init__(self, status: int, body: bytes, headers: dict, identity: Path = None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response_only(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

            def send_error(self, code, *_, **__):  # What is no HTTP gets a short answer too.
                self.wfile.write(f"HTTP/1.0 {code} Bad\r\n\r\n".encode())

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # Handshakes that fail are the point.
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{identity}.pem", f"{identity}.key")
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def health(clock: timedelta = timedelta()) -> bytes:
    now = datetime.now(timezone.utc) + clock
    return json.dumps({"status": "ok", "version": "0.1.0", "protocols": [1],
                       "time": now.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def issue(folder: Path, issuer: Path, start: str, end: str) -> Path:
    """A server certificate for localhost with any dates, from ISSUER.pem and ISSUER.key."""
    folder.mkdir()
    (folder / "index").write_text("")
    (folder / "cnf").write_text(f"""[ca]
default_ca=d
[d]
database={folder}/index
new_certs_dir={folder}
rand_serial=yes
default_md=sha256
policy=p
x509_extensions=x
[p]
commonName=optional
[x]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
subjectAltName=DNS:localhost
extendedKeyUsage=serverAuth
[req]
distinguished_name=p
""")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / "server.key")
    openssl("req", "-new", "-key", folder / "server.key", "-subj", "/CN=localhost", "-config", folder / "cnf", "-out",
            folder / "csr")
    openssl("ca", "-batch", "-config", folder / "cnf", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-in",
            folder / "csr", "-out", folder / "leaf", "-startdate", start, "-enddate", end, "-notext")
    (folder / "server.pem").write_text((folder / "leaf").read_text() + Path(f"{issuer}.pem").read_text())
    return folder / "server"


class Cutter:
    """Ends every connection at its first bytes, as a firewall does that reads names in TLS."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return  # __exit__() was called.
            with peer:
                peer.recv(65536)

    def __exit__(self, *_):
        self.listener.close()


class Inspector:
    """Ends TLS with a certificate of its own and speaks TLS to the gateway itself, as a firewall does that inspects."""

    def __init__(self, identity: Path, to: int):
        self.near, self.far, self.to = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(), to
        self.near.minimum_version = ssl.TLSVersion.TLSv1_3
        self.near.load_cert_chain(f"{identity}.pem", f"{identity}.key")
        self.far.check_hostname, self.far.verify_mode = False, ssl.CERT_NONE

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return  # __exit__() was called.
            threading.Thread(target=self.carry, args=(peer,), daemon=True).start()

    def carry(self, peer: socket.socket):
        try:
            with self.near.wrap_socket(peer, server_side=True) as near, \
                    self.far.wrap_socket(socket.create_connection(("127.0.0.1", self.to))) as far:
                while True:
                    for end in select.select([near, far], [], [])[0]:
                        end.setblocking(False)
                        try:
                            piece = end.recv(65536)
                        except ssl.SSLWantReadError:
                            continue  # A session ticket: a record without bytes of HTTP.
                        finally:
                            end.setblocking(True)
                        if not piece:
                            return
                        (far if end is near else near).sendall(piece)
        except OSError:
            pass  # Whoever did not like it has gone.

    def __exit__(self, *_):
        self.listener.close()


class Site:
    """A joined agent whose gateway_url and trust can be anything."""

    def __init__(self, pair: LocalPair):
        self.pair, self.config = pair, pair.agent_config
        self.text = self.config.read_text()

    def doctor(self, url: str = "", old: str = "", new: str = "", before: tuple = ()) -> Done:
        lines = [f'gateway_url = "{url}"' if url and line.startswith("gateway_url") else line
                 for line in self.text.replace(old, new).splitlines()] if url or old else [self.text]
        self.config.write_text("\n".join(lines))
        words = [*before, BIN / "culvert-agent", "doctor", "--json", "--config", self.config]
        began = time.monotonic()
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=30, check=False)
        check(f"it took {time.monotonic() - began:.1f} s", time.monotonic() - began < 10)
        self.config.write_text(self.text)
        return Done(done.returncode, done.stdout, done.stderr)

    def finds(self, wanted: str, *pieces: str, **more) -> None:
        done = self.doctor(**more)
        report = json.loads(done.out or "{}")
        found = [finding["id"] for finding in report.get("findings", [])]
        check(f"{wanted} is found, and nothing else", done.code == 1 and found == [wanted], done)
        finding = report["findings"][0]
        shown = finding["cause"] + finding["evidence"]
        check(f"  {finding['cause']}", finding["advice"] and finding["evidence"] and all(p in shown for p in pieces), finding)

    def healthy(self, runs: bool) -> None:
        done = self.doctor()
        report = json.loads(done.out or "{}")
        check("nothing is found on a healthy set-up", done.code == 0 and report["healthy"] and report["findings"] == []
              and report["agent_runs"] == runs, done)
        check("and progress is on stderr", "gateway:" in done.err, done)


def scenario(folder: Path) -> None:
    for program in ("openssl", "unshare", "nft", "ip"):
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")
    pair = LocalPair(folder / "pair")
    try:
        pair.start_new(depot=NO_DEPOT)
        site = Site(pair)
        for _ in range(RUNS_WITHOUT_ALARM):
            site.healthy(runs=True)
        pair.agent.stop()
        site.healthy(runs=False)
        usage(folder)
        way(site)
        no_gateway(site, pair.gateway_dir / "certs/server")
        certificates(site, pair, folder)
        clocks(site, pair.gateway_dir / "certs/server")
        moved_clock(site)
        machine(site, pair, folder)
        site.healthy(runs=False)
    finally:
        pair.stop()


def usage(folder: Path) -> None:
    refuses("a configuration that is not there", agent("doctor", "--config", folder / "none.toml"), 2, "none.toml")
    refuses("an option that is not there", agent("doctor", "--jsn"), 2, "--help")


def way(site: Site) -> None:
    site.finds("name_unresolved", "nosuch.invalid", url="https://nosuch.invalid")
    site.finds("port_refused", "127.0.0.1", url=f"https://localhost:{free_port()}")
    deaf = socket.create_server(("127.0.0.1", 0))
    site.finds("handshake_unanswered", url=f"https://localhost:{deaf.getsockname()[1]}")
    deaf.close()
    with Cutter() as cutter:
        site.finds("handshake_cut", url=f"https://localhost:{cutter.port}")
    if os.geteuid() != 0:
        print("not tried: route and filter, which need root")
        return
    alone = ("unshare", "--net", "sh", "-c")
    site.finds("no_route", "192.0.2.1", url="https://192.0.2.1", before=(*alone, 'ip link set lo up; exec "$0" "$@"'))
    drop = ("ip link set lo up; ip addr add 192.0.2.1/32 dev lo; nft add table ip t; "
            "nft 'add chain ip t c { type filter hook input priority 0; }'; nft add rule ip t c tcp dport 443 drop; "
            'exec "$0" "$@"')
    site.finds("port_filtered", "192.0.2.1", "silently dropped", url="https://192.0.2.1", before=(*alone, drop))
    forbid = 'ip link set lo up; ip route add prohibit 192.0.2.1/32; exec "$0" "$@"'
    site.finds("port_forbidden_here", "192.0.2.1", url="https://192.0.2.1", before=(*alone, forbid))
    reject = drop.replace("443 drop", "443 reject with tcp reset")
    site.finds("port_refused", "192.0.2.1", url="https://192.0.2.1", before=(*alone, reject))
    prohibit = drop.replace("443 drop", "443 reject with icmp type admin-prohibited")
    site.finds("port_forbidden_here", "administratively prohibited (ICMP from this machine)", url="https://192.0.2.1",
               before=(*alone, prohibit))


def no_gateway(site: Site, identity: Path) -> None:
    login = {"Location": "https://login.hotel.example/"}
    with Server(200, b"<html>", {}) as plain:
        site.finds("not_a_gateway", "plain HTTP", url=plain.url)
    with Server(302, b"", login) as portal:
        site.finds("captive_portal", "login.hotel.example", url=portal.url)
    with Server(404, b"no", {"Server": "nginx"}, identity) as other:
        site.finds("not_a_gateway", "404", "nginx", url=other.url)
    with Server(302, b"", login, identity) as portal:
        site.finds("captive_portal", "login.hotel.example", url=portal.url)


def certificates(site: Site, pair: LocalPair, folder: Path) -> None:
    authority = pair.gateway_dir / "certs"
    for finding, (start, end) in PERIODS.items():
        with Server(200, health(), {}, issue(folder / finding, authority / "server-ca", start, end)) as server:
            site.finds(finding, url=server.url)
    pair.command(BIN / "culvert-certs", "issue-server", "--authority", authority, "--name", "elsewhere.example", "--out",
                 folder / "elsewhere")
    with Server(200, health(), {}, folder / "elsewhere/server") as server:
        site.finds("wrong_name", "elsewhere.example", url=server.url)
    pair.command(BIN / "culvert-certs", "init-root", "--dir", folder / "other-root")
    pair.command(BIN / "culvert-certs", "issue-server", "--authority", folder / "other-root", "--name", "localhost", "--out",
                 folder / "other")
    with Server(200, health(), {}, folder / "other/server") as server:
        site.finds("wrong_ca", url=server.url)
    box = folder / "box"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{box}.key",
            "-out", f"{box}.pem", "-subj", "/O=Acme/CN=Inspection Box", "-days", "30")
    with Server(200, health(), {}, issue(folder / "seen", box, "20200101000000Z", "20990101000000Z")) as server:
        site.finds("tls_interception", "Inspection Box", "does not trust", url=server.url)
    # Where this machine trusts the box too, the gateway says that the site's connection has not reached it.
    with Inspector(folder / "seen/server", pair.line.port) as inspector:
        site.finds("tls_interception", "TLS is ended on the way", "Inspection Box", "which this agent trusts",
                   "not of this connection", url=inspector.url, old='roots = "trust.pem"', new="system_roots = true",
                   before=("env", f"SSL_CERT_FILE={box}.pem"))
    site.finds("thumbprint_mismatch", "AA:AA", old='roots = "trust.pem"', new='thumbprint = "' + ":".join(["AA"] * 32) + '"')


def clocks(site: Site, identity: Path) -> None:
    for days in (-2, 2):
        with Server(200, health(timedelta(days=days)), {"Culvert-Request-Id": "1"}, identity) as server:
            done = site.doctor(url=server.url)
            found = [finding["id"] for finding in json.loads(done.out)["findings"]]
            # This gateway knows no sites, which is found as well.
            check(f"a clock that is {-days} days off is found",
                  done.code == 1 and found == ["clock_skew", "control_failed"], done)


def moved_clock(site: Site) -> None:
    """The real gateway, and this machine's clock elsewhere: also where the certificates seem to end soon, or to have ended."""
    if shutil.which("faketime") is None:
        print("not tried: a clock that is moved, because faketime is not installed")
        return
    for days, side in ((2, "ahead"), (-2, "behind"), (85, "ahead"), (400, "ahead")):
        moved = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", f"{days:+d}d")
        site.finds("clock_skew", side, before=moved)


def machine(site: Site, pair: LocalPair, folder: Path) -> None:
    pair.provider("target", "add", "demo", "db", "127.0.0.1:5")
    with socket.create_server(("0.0.0.0", 0)) as holder:
        port = holder.getsockname()[1]
        pair.agent_dir.joinpath("forwards.d").mkdir(exist_ok=True)
        pair.agent_dir.joinpath("forwards.d/db.toml").write_text(f"port = {port}\n")
        site.finds("local_port_taken", f"process {os.getpid()}", str(port))
    pair.agent_dir.joinpath("forwards.d/db.toml").unlink()
    certificate, key = pair.agent_dir / "site.pem", pair.agent_dir / "site.key"
    # Everything else is named apart, so that the directory for the running agent's files is all that is missing.
    moved = site.text.replace("[identity]", f'[identity]\ncertificate = "{certificate}"\nkey = "{key}"')
    assert moved != site.text and "[trust]" in moved
    site.finds("data_dir_unusable", "No such file", old=site.text, new=f'data_dir = "{folder}/missing"\n{moved}')
    good, good_key = certificate.read_text(), key.read_text()
    key.chmod(0o644)
    site.finds("identity_unusable", "chmod")
    key.chmod(0o600)
    box = folder / "box"
    for finding, days in (("certificate_ends_soon", 5), ("site_certificate_expired", -1)):
        end = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
        other = issue(folder / finding, box, "20200101000000Z", end.strftime("%Y%m%d%H%M%SZ"))
        certificate.write_text(Path(f"{other}.pem").read_text())
        key.write_text(Path(f"{other}.key").read_text())
        done = site.doctor()
        found = [each["id"] for each in json.loads(done.out)["findings"]]
        # No gateway knows a certificate that this test has made, which may be found as well.
        check(f"{finding} is found", done.code == 1 and found[0] == finding
              and set(found[1:]) <= {"identity_refused", "control_failed"}, done)
    certificate.write_text(good)
    key.write_text(good_key)
    if os.geteuid() != 0:
        print("not tried: a full disk, which needs root")
        return
    copy = folder / "copy"
    full = (f"mkdir {copy}; mount -t tmpfs -o size=1M none {copy} && cp -a {pair.agent_dir}/. {copy} && "
            f'exec {BIN}/culvert-agent doctor --json --config {copy}/agent.toml')
    done = subprocess.run(["unshare", "--mount", "sh", "-c", full], capture_output=True, text=True, timeout=30, check=False)
    found = [finding["id"] for finding in json.loads(done.stdout or '{"findings": []}')["findings"]]
    check("disk_full is found, and nothing else", done.returncode == 1 and found == ["disk_full"], done)
    check("what was changed is as before", good == certificate.read_text() and good_key == key.read_text())


main(scenario)
