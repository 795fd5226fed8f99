#!/usr/bin/env python3
"""The depot of culvert-agent: curl downloads VIB, bundle and index, directly, in parts, and through a CONNECT that curl
finds no fault with; nothing else can be asked for; forwards change the VIB and its version; a taken port, a depot that is
switched off and one without an agent are said by `culvert-agent firewall`. In a network namespace of its own where one can
be made: there port 80, which ESXi hosts can fetch from, is free."""
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from support.depot import configure, curl
from support.scenario import LocalPair, Skip, agent, check, free_port, main, refuses, run, wait_for_log, wait_until

INSIDE = "CULVERT_TEST_DEPOT_NAMESPACE"
LET_OUT = "esxcli network firewall ruleset set -e true -r httpClient"


def enter_namespace() -> None:
    """Becomes this script again in a namespace; without one, only what needs port 80 is left out."""
    wanted = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    if shutil.which("ip") and shutil.which("unshare") and subprocess.run([*wanted, "ip", "link", "set", "lo", "up"],
                                                                         capture_output=True, check=False).returncode == 0:
        os.environ[INSIDE] = "1"
        os.execvp(wanted[0], [*wanted, sys.executable, *sys.argv])


def scenario(folder: Path) -> None:
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if shutil.which("curl") is None:
        raise Skip("curl is not installed")
    pair = LocalPair(folder / "pair")
    try:
        pair.start_new()
        if INSIDE in os.environ:
            fetched_by_hosts(pair, folder)
        else:
            print("left out, as no network namespace can be made here: the depot on port 80")
        pair.agent.stop()
        port = free_port()
        original = pair.agent_config.read_text()
        configure(pair, original, f"port = {port}")
        pair.start_agent()
        downloads(pair, port, folder)
        refused(port)
        raw_connect(port)
        forwards_change_it(pair, port)
        taken(pair, original)
        off(pair, original)
    finally:
        pair.stop()


def report(pair: LocalPair, *words: object) -> dict:
    done = agent("firewall", "--json", "--host", "localhost", *words, "--config", pair.agent_config)
    check("firewall --json is one object", done.code == 0 and not done.err, done)
    return json.loads(done.out)


def downloads(pair: LocalPair, port: int, folder: Path) -> None:
    shown = report(pair)
    check("firewall says that the depot serves", (shown["depot"]["state"], shown["depot"]["port"]) == ("serving", port), shown)
    urls = shown["urls"]
    for name, url in urls.items():
        got = curl("-f", "-o", folder / name, "-w", "%{content_type}", url)
        check(f"curl downloads {url}", got.returncode == 0, got)
        kind = b"text/xml; charset=utf-8" if name == "index" else b"application/octet-stream"
        check(f"as {kind.decode()}", got.stdout == kind, got.stdout)
    verified = run("culvert-vib", "verify", folder / "vib")
    check("the VIB is healthy, and the one that firewall names", verified.code == 0 and shown["vib"]["id"] in verified.out)
    whole = (folder / "vib").read_bytes()
    curl("-f", "-r", "0-99", "-o", folder / "part", urls["vib"])
    curl("-f", "-C", "-", "-o", folder / "part", urls["vib"])
    check("a download that was cut short goes on", (folder / "part").read_bytes() == whole)
    head = curl("-f", "-I", urls["vib"]).stdout.decode().lower()
    check("HEAD tells the length and no more", f"content-length: {len(whole)}\r\n" in head, head)
    for proxy in (["-p"], []):
        got = curl("-f", *proxy, "-x", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/culvert-firewall.vib")
        check(f"by way of a proxy, {'with CONNECT' if proxy else 'in absolute form'}", got.stdout == whole, got.stderr)
    text = agent("firewall", "--host", "agent.example.net", "--config", pair.agent_config)
    for piece in ("wget", "# on another machine", "esxcli software vib install -v /tmp/culvert-firewall.vib",
                  "ruleset rule list -r culvert", "vib remove -n culvert-firewall", "Secure Boot", "--port 31031",
                  "--port 44046"):
        check(f"firewall shows '{piece}'", piece in text.out, text)
    check("no host is told to fetch from a port that it cannot reach", "vib install -v http" not in text.out
          and "vib install -d" not in text.out and "httpClient\n" not in text.out, text)
    check("without a forward nothing is dialled", not any(line.startswith("nc ") for line in shown["commands"]["check"]), shown)
    for host in ("a;b", "a..b", "::::", "-x", ".a"):
        refuses(f"the host {host}", agent("firewall", f"--host={host}", "--config", pair.agent_config), 2, host)


def fetched_by_hosts(pair: LocalPair, folder: Path) -> None:
    """Port 80, which nobody has to configure: hosts fetch by URL, once their own firewall lets them out."""
    shown = report(pair)
    check("the depot serves on port 80", (shown["depot"]["state"], shown["depot"]["port"]) == ("serving", 80), shown)
    download, install = shown["commands"]["download"], shown["commands"]["install"]
    for lines in (download, install):
        fetching = [at for at, line in enumerate(lines) if "http://" in line]
        check("a host is let out before it fetches",
              fetching and any(line.startswith(LET_OUT) for line in lines[:fetching[0]]), lines)
    check("which is the first line of all", download[0] == LET_OUT, download)
    whole = folder / "by-host.vib"
    for start in ("wget -O /tmp/culvert-firewall.vib http://localhost/", "esxcli software vib install -v http://localhost/"):
        line = next(line for line in download + install if line.startswith(start))
        got = curl("-f", "-o", whole, line.split()[-1])
        check(f"what '{line}' fetches is the VIB", got.returncode == 0 and run("culvert-vib", "verify", whole).code == 0, got)
    line = next(line for line in install if line.startswith("esxcli software vib install -d "))
    url = line.split()[5]
    check(f"'{line}' names the index", url == shown["urls"]["index"] == "http://localhost/index.xml"
          and shlex.split(line, comments=True)[-2:] == ["-n", "culvert-firewall"], line)
    index = curl("-f", url)
    check("which is there", index.returncode == 0 and b"vendor-index.xml" in index.stdout, index)
    text = agent("firewall", "--host", "agent.example.net", "--config", pair.agent_config).out
    wget = "wget -O /tmp/culvert-firewall.vib http://agent.example.net/"
    check("people see the same", LET_OUT in text.partition(wget)[0] and wget in text
          and "vib install -d http://agent.example.net/index.xml -n culvert-firewall" in text, text)


def refused(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    for path in ("/", "/etc/passwd", "/agent.toml", "/../agent.toml", "/vib20/../index.xml", "/%2e%2e/site.key", "/admin.sock"):
        got = curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", base + path)
        check(f"{path} is not there", got.stdout == b"404", got)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        got = curl("-X", method, "-o", "/dev/null", "-w", "%{http_code}", base + "/index.xml")
        check(f"{method} is refused", got.stdout == b"405", got)
    got = curl("-p", "-x", base, "-o", "/dev/null", "-w", "%{http_connect}", "http://192.0.2.1:22/")
    check("CONNECT to elsewhere is refused", got.stdout == b"403", got)


def raw_connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += line.recv(4096)
        check("a CONNECT is answered with a status line and nothing else",
              re.fullmatch(rb"HTTP/1\.1 200 [^\r\n]*\r\n\r\n", answer), answer)


def forwards_change_it(pair: LocalPair, port: int) -> None:
    before = report(pair)
    check("the pool is what the VIB opens", before["ports"] == [{"first": 10000, "last": 10010}], before["ports"])
    pair.add_forward("db", free_port(), 31031)
    after = report(pair)
    check("a forward outside the pool is opened too", {"first": 31031, "last": 31031} in after["ports"], after["ports"])
    check("the check dials the forward", after["commands"]["check"][-1] == "nc -z localhost 31031", after["commands"])
    check("no VIB is needed for a port that ESXi lets out", after["vib"]["needed"] is False)

    def number(shown: dict) -> int:
        return int(shown["vib"]["version"].rpartition("-")[2])

    check("and the version rises", number(after) == number(before) + 1, (before["vib"], after["vib"]))
    got = curl("-f", f"http://127.0.0.1:{port}/index.xml")
    check("the depot goes on", got.returncode == 0, got)
    path = f"vib20/culvert-firewall/{after['vib']['id']}.vib"
    check("with the new VIB", curl("-f", f"http://127.0.0.1:{port}/{path}").returncode == 0)
    pair.agent.stop()
    stopped = report(pair)
    check("without an agent, firewall says so and shows the same VIB",
          stopped["depot"]["state"] == "stopped" and stopped["vib"] == after["vib"], stopped)


def taken(pair: LocalPair, original: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        configure(pair, original, f'port = {port}\nbind = ["127.0.0.1"]')
        pair.start_agent()
        wait_for_log(pair.agent, "depot does not serve", str(port))
        shown = report(pair)["depot"]
        check("a taken port is said, and the agent runs on", shown["state"] == "failed" and "in use" in shown["error"], shown)
    wait_until("the session", lambda: pair.status()["session"]["state"] == "up")
    pair.agent.stop()


def built_by_hand(pair: LocalPair, shown: dict) -> None:
    """Runs the line that `firewall` shows, and one with --config: both are the VIB that it names."""
    words = shlex.split(shown["commands"]["download"][0], comments=True)
    made = pair.agent_config.parent / "by-hand.vib"
    words[words.index("--out") + 1] = str(made)
    for given in (words[1:], ["build", "--config", pair.agent_config, "--vib-version", shown["vib"]["version"], "--out", made]):
        check("culvert-vib builds the VIB by hand", words[0] == "culvert-vib" and run("culvert-vib", *given).code == 0, given)
        seen = json.loads(run("culvert-vib", "inspect", made, "--json").out)
        ports = [{"first": rule["first"], "last": rule["last"]} for rule in seen["rulesets"][0]["rules"]]
        check("it is the one that firewall names, with its ports", (seen["id"], ports) == (shown["vib"]["id"], shown["ports"]),
              (seen, shown))


def off(pair: LocalPair, original: str) -> None:
    configure(pair, original, "enabled = false")
    pair.start_agent()
    shown = report(pair)
    check("a depot that is switched off is said", shown["depot"]["state"] == "off" and shown["urls"]["vib"] == "", shown)
    built_by_hand(pair, shown)
    pair.add_forward("more", free_port(), 28700)
    once = report(pair)
    built_by_hand(pair, once)
    pair.add_forward("most", free_port(), 28800)
    twice = report(pair)
    built_by_hand(pair, twice)
    versions = [int(each["vib"]["version"].rpartition("-")[2]) for each in (shown, once, twice)]
    check("the version rises with each change of the ports here too", versions == sorted(set(versions)), versions)
    pair.agent.stop()
    check("without an agent it is the same", report(pair)["vib"] == twice["vib"])
    for line, piece in (("port = 0", "port"), ('bind = ["somewhere"]', "somewhere"), ("prot = 80", "port")):
        configure(pair, original, line)
        refuses(f"[depot] {line}", agent("run", "--config", pair.agent_config), 2, str(pair.agent_config), piece)


if INSIDE not in os.environ:
    enter_namespace()
main(scenario)
