#!/usr/bin/env python3
"""Certificates that are expired, not valid yet, of another authority or another host, and keys that others can read:
the side that can mend it says so in words, the session does not come up, and afterwards everything works again. A site
that was removed joins again as docs/operations.md describes it."""
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from support.scenario import (BIN, LocalPair, Skip, agent, check, free_port, gateway, log_of, main, refuses, wait_for_log,
                              wait_until)

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"
INSTALLED = "/var/lib/culvert-agent"  # The agent's directory in the document.

EXTENSIONS = {"site": "subjectAltName=URI:culvert://org/demo/site/here\nextendedKeyUsage=clientAuth",
              "server": "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth"}
PERIODS = {"expired": ("20200101000000Z", "20200201000000Z"), "not yet valid": ("20990101000000Z", "20990201000000Z")}

LOGGED = {"expired": "tls_expired", "not yet valid": "tls_not_yet_valid"}
SHOWN = {"expired": "expired at", "not yet valid": "valid from"}


def days_from_now(*days: float) -> list[str]:
    return [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * n)) for n in days]


def issue(folder: Path, authority: Path, kind: str, key: Path, period: str) -> str:
    """A certificate for an existing key with dates that our own command does not offer; leaf and issuer as PEM."""
    folder.mkdir()
    issuer = authority / ("sites-ca" if kind == "site" else "server-ca")
    (folder / "index").write_text("")
    (folder / "openssl.cnf").write_text(f"""[ca]
default_ca=d
[d]
dir={folder}
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
{EXTENSIONS[kind]}
[req]
distinguished_name=p
""")
    start, end = PERIODS[period] if period in PERIODS else days_from_now(-80, 9.5)

    def openssl(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    openssl("req", "-new", "-key", key, "-subj", "/CN=here", "-config", folder / "openssl.cnf", "-out", folder / "csr")
    openssl("ca", "-batch", "-config", folder / "openssl.cnf", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key",
            "-in", folder / "csr", "-out", folder / "leaf", "-startdate", start, "-enddate", end, "-notext")
    return (folder / "leaf").read_text() + Path(f"{issuer}.pem").read_text()


def scenario(folder: Path) -> None:
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    pair = LocalPair(folder)
    try:
        pair.start_new()
        keys(pair)
        sites(pair, folder)
        servers(pair, folder)
        joins_again(pair)
    finally:
        pair.stop()


def keys(pair: LocalPair) -> None:
    """Both daemons refuse a key that others can read, with the command that mends it."""
    pair.agent.stop()
    for name, program, key, config in (("agent", agent, pair.agent_dir / "site.key", pair.agent_config),
                                       ("gateway", gateway, pair.gateway_dir / "certs/server.key", pair.gateway_config)):
        if name == "gateway":
            pair.gateway.stop()
        key.chmod(0o644)
        refuses(f"the {name} refuses a key that others can read", program("run", "--config", config), 2, str(key),
                "chmod 600")
        key.chmod(0o600)
    others = {pair.gateway_dir / "certs/root.key": 0o644, pair.gateway_dir / "store.sqlite": 0o606}
    for file, mode in others.items():
        file.chmod(mode)
        refuses(f"the gateway refuses a {file.name} that others can get at", gateway("run", "--config", pair.gateway_config),
                2, str(file), "chmod 600")
        file.chmod(0o600)
    for program, folder, config in ((gateway, pair.gateway_dir, pair.gateway_config), (agent, pair.agent_dir, pair.agent_config)):
        folder.chmod(0o777)
        refuses(f"{folder.name}: a directory that others can write to is refused", program("run", "--config", config), 2,
                str(folder), "chmod 700")
        folder.chmod(0o700)
    for name, program, key, config, advice in (
            ("agent", agent, pair.agent_dir / "site.key", pair.agent_config, "join again"),
            ("gateway", gateway, pair.gateway_dir / "certs/server.key", pair.gateway_config, "backup")):
        kept = key.rename(key.with_suffix(".away"))
        refuses(f"the {name} without its key says what to do", program("run", "--config", config), 1, str(key), advice)
        kept.rename(key)
    pair.start_gateway()


def session_error(pair: LocalPair, *pieces: str) -> None:
    """Starts the agent, waits until status names the trouble and some attempts have failed, stops the agent."""
    pair.start_agent()
    error = ""

    def named() -> bool:
        nonlocal error
        session = pair.status()["session"]
        error = session["error"]
        return session["state"] == "down" and all(piece in error.lower() for piece in pieces)

    try:
        wait_until(f"an error with {pieces} in the agent's status", named, 15)
        refused = log_of(pair.gateway).count("TLS handshake failed")
        wait_until("a dozen more attempts", lambda: log_of(pair.gateway).count("TLS handshake failed") >= refused + 12)
    finally:
        pair.agent.stop()
    check(f"the agent's log names it too: {error[:150]}", error[:60] in log_of(pair.agent), pair.agent.log_end())
    lines = log_of(pair.agent).count("no session with")
    check(f"in few lines, not one per attempt ({lines})", lines <= 2, pair.agent.log_end(30))


def sites(pair: LocalPair, folder: Path) -> None:
    """The agent shows a certificate that the gateway cannot accept."""
    certificate, key = pair.agent_dir / "site.pem", pair.agent_dir / "site.key"
    good = certificate.read_text()
    for period in PERIODS:
        certificate.write_text(issue(folder / f"site {period}", pair.gateway_dir / "certs", "site", key, period))
        session_error(pair, "certificate", "clock")  # TLS has no alert for "not valid yet".
        wait_for_log(pair.gateway, "TLS handshake failed", "CN=here", LOGGED[period])
        check(f"the gateway's log names a site certificate that is {period}", True)
    certificate.write_text(issue(folder / "site soon", pair.gateway_dir / "certs", "site", key, "ends soon"))
    pair.start_agent()
    wait_for_log(pair.agent, "ends in 9 days")
    warned = [line for line in log_of(pair.agent).splitlines() if "ends in 9 days" in line]
    check(f"a certificate that ends soon is a warning at start: {warned}",
          len(warned) == 1 and "WARN" in warned[0] and "join again" in warned[0], pair.agent.log_end())
    pair.agent.stop()
    other = folder / "other-root"
    pair.command(BIN / "culvert-certs", "init-root", "--dir", other)
    stranger = folder / "stranger"
    pair.command(BIN / "culvert-certs", "issue-site", "--authority", other, "--org", "demo", "--site", "here", "--out",
                 stranger)
    good_key = key.read_text()
    certificate.write_text((stranger / "site.pem").read_text())
    key.write_text((stranger / "site.key").read_text())
    session_error(pair, "certificate")
    key.write_text(good_key)
    certificate.write_text(good)

    trust = pair.agent_dir / "trust.pem"
    good_trust = trust.read_text()
    trust.write_text((other / "root.pem").read_text())
    session_error(pair, "root")
    trust.write_text(good_trust)
    up_again(pair, "with its own certificate and trust the agent is up at once")


def up_again(pair: LocalPair, sentence: str) -> None:
    pair.start_agent()
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    check(sentence, True)
    pair.agent.stop()


def servers(pair: LocalPair, folder: Path) -> None:
    """The gateway shows a certificate that agents cannot accept, and says so itself when it starts."""
    certs = pair.gateway_dir / "certs"
    certificate, key = certs / "server.pem", certs / "server.key"
    good, good_key = certificate.read_text(), key.read_text()

    def restart(words: str) -> None:
        pair.gateway.stop()
        pair.start_gateway()
        wait_for_log(pair.gateway, "agents will refuse the server certificate")
        check(f"the gateway says at start that agents will refuse it ({words})", True)

    for period in PERIODS:
        certificate.write_text(issue(folder / f"server {period}", certs, "server", key, period))
        restart(period)
        session_error(pair, "certificate", SHOWN[period], "clock")
    pair.command(BIN / "culvert-certs", "issue-server", "--authority", certs, "--name", "elsewhere.example", "--out",
                 folder / "elsewhere")
    certificate.write_text((folder / "elsewhere/server.pem").read_text())
    key.write_text((folder / "elsewhere/server.key").read_text())
    restart("another name")
    session_error(pair, "localhost", "elsewhere.example")

    key.write_text(good_key)
    pair.gateway.stop()
    refuses("a key that is not of the certificate is named", gateway("run", "--config", pair.gateway_config), 1,
            "is not the key of")
    certificate.write_text(good)
    pair.start_gateway()
    up_again(pair, "with its own certificate the gateway is believed again")


def follow(pair: LocalPair, line: str, joining_string: str) -> None:
    """One line of the document, with this agent's directory, and without systemd."""
    words = [word.replace(INSTALLED, str(pair.agent_dir)) for word in shlex.split(line, comments=True) if word != "sudo"]
    if words == ["systemctl", "stop", "culvert-agent"]:
        pair.agent.stop()
    elif words == ["systemctl", "start", "culvert-agent"]:
        pair.start_agent()
    elif words[0] == "culvert-agent":
        given = ["--config", pair.agent_config] if words[1] == "status" else []
        done = agent(*words[1:], *given, stdin=joining_string + "\n")
        check(f"'{line}' is done", done.code == 0, done)
    else:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        differs = words[0] == "diff" and done.returncode == 1
        check(f"'{line}' is done", differs or done.returncode == 0, done)


def joins_again(pair: LocalPair) -> None:
    pair.start_agent()
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    pair.add_forward("kept", free_port(), free_port())
    pair.customer("limit", "set", "--up", "20Mbit/s")
    pair.agent_config.write_text("# Ours.\n" + pair.agent_config.read_text())
    settings, forwards, limits = pair.agent_config.read_text(), pair.status()["forwards"], pair.customer("limit", "list")
    pair.provider("site", "remove", "demo", "here")
    wait_until("a removed site is told to join again", lambda: "join again" in (pair.status()["session"]["error"] or ""))
    joining_string = pair.provider("join-token", "demo", "here").strip()
    refuses("join leaves an agent's directory alone and names the way", agent("join", "-", "--data", pair.agent_dir,
            stdin=joining_string + "\n"), 1, f"--data {pair.agent_dir}/new", "site.key", "'Joining again' in operations.md")
    recipe = OPERATIONS.read_text().split("\n## Joining again\n")[1].split("```\n")[1]
    for line in recipe.splitlines():
        follow(pair, line, joining_string)
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    same = (pair.agent_config.read_text() == settings, pair.status()["forwards"] == forwards,
            pair.customer("limit", "list") == limits, not (pair.agent_dir / "new").exists())
    check("after the recipe of operations.md the site is up again, with its forwards, limits and settings", all(same), same)
    pair.agent.stop()


main(scenario)
