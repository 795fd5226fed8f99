#!/usr/bin/env python3
"""culvert-vib rules: each form is checked by the tool that it is for (nft, iptables-restore, firewall-offline-cmd, ufw),
those without a tool in Debian by a parser; for every role of the catalogue. In a network namespace of its own the nftables
and iptables rules let the agent's ports in and nothing else."""
import csv
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from support.scenario import Done, Skip, check, main, refuses, run

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("nft", "iptables-restore", "ip6tables-restore", "firewall-offline-cmd", "ufw", "unshare", "ip", "xmllint")
# A machine that lets nothing in: what our rules are loaded into.
CLOSED = "table inet filter { chain input { type filter hook input priority 0; policy drop; ct state established accept; }; }"


def vib(*words: object) -> Done:
    return run("culvert-vib", *words)


def tool(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


def alone(*words: object) -> subprocess.CompletedProcess:
    """In a network namespace of its own: the machine's firewall is not touched."""
    return tool("unshare", "--net", *words)


def scenario(folder: Path) -> None:
    for program in TOOLS:
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            raise Skip(f"{program} is not installed")
    if os.geteuid() != 0 or alone("true").returncode != 0:
        raise Skip("making network namespaces needs root")
    roles = sorted({row[end] for row in json.loads(vib("ports", "--json").out)["rows"] if row["ports"]
                    for end in ("source", "target")})
    for role in roles:
        every_form(folder, role)
    firewalld(folder)
    ufw(folder)
    opens_exactly(folder)
    windows(folder)
    requests()
    refusals(folder)


def made(folder: Path, form: str, role: str, *words: object) -> Path:
    path = folder / f"{form}-{role}.{'xml' if form == 'firewalld' else 'rules'}"  # firewalld insists on .xml.
    done = vib("rules", "--for", form, "--role", role, *words, "--out", path)
    check(f"{form} for {role}", (done.code, done.out) == (0, f"{path}\n"), done)
    return path


def every_form(folder: Path, role: str) -> None:
    done = alone("nft", "-c", "-f", made(folder, "nftables", role))
    check("nft -c takes it", done.returncode == 0, done)
    rules = made(folder, "iptables", role)
    for program in ("iptables-restore", "ip6tables-restore"):
        done = alone(program, "--test", "--noflush", rules)
        check(f"{program} --test takes it", done.returncode == 0, done)


def firewalld(folder: Path) -> None:
    for role in ("agent", "media-server", "esxi-target"):
        service = made(folder, "firewalld", role)
        check("xmllint reads it", tool("xmllint", "--noout", service).returncode == 0)
        config = folder / "firewalld" / role
        (config / "services").mkdir(parents=True)
        (config / "firewalld.conf").write_text("DefaultZone=public\n")
        done = tool("firewall-offline-cmd", f"--system-config={config}", f"--new-service-from-file={service}",
                    f"--name=culvert-{role}")
        check("firewall-offline-cmd takes it as a service", done.returncode == 0, done)
        done = tool("firewall-offline-cmd", f"--system-config={config}", f"--service=culvert-{role}", "--get-ports")
        if role == "agent":
            check("with the agent's ports", sorted(done.stdout.split()) == ["10000-10010/tcp", "31031/tcp", "44046/tcp",
                                                                            "80/tcp"], done)
        if role == "esxi-target":
            check("with both protocols", sorted(done.stdout.split()) == ["902/tcp", "902/udp"], done)


def ufw(folder: Path) -> None:
    many = list(range(20001, 20061, 2))
    for role, ports, words in (("agent", ["80,10000:10010,31031,44046/tcp"], []), ("esxi-target", ["902/tcp", "902/udp"], []),
                               ("agent", ["20001", "20059"], ["--set", "agent-ports=" + ",".join(map(str, many))])):
        profile = made(folder, "ufw", role, *words)
        place = Path("/etc/ufw/applications.d") / f"culvert-test-{os.getpid()}"
        shutil.copy(profile, place)  # ufw knows no other place; the file is gone again below.
        try:
            done = alone("ufw", "app", "info", f"culvert-{role}")
        finally:
            place.unlink()
        check(f"ufw app info shows {ports[0]}", done.returncode == 0 and all(port in done.stdout for port in ports)
              and "WARN" not in done.stdout + done.stderr, done)


def opens_exactly(folder: Path) -> None:
    """Loads the rules into a closed machine and knocks."""
    config = folder / "agent.toml"
    config.write_text('gateway_url = "https://gw:8443"\n[forwards]\nport_pool = "20000-20002"\n[depot]\nport = 8080\n')
    asked = vib("rules", "--for", "csv", "--role", "agent", "--product", "culvert", "--config", config).out
    check("depot and gateway are those of the configuration", ",tcp,8080," in asked and ",tcp,8443," in asked
          and ",tcp,80," not in asked and ",tcp,443," not in asked, asked)
    # Without the rows that do not depend on the configuration, what is open is the pool alone.
    rows = ["--product", "culvert", "--config", config]
    knock = Path(__file__).parent / "support" / "knock.py"
    for form in ("nftables", "iptables"):
        rules = made(folder, form, "agent", *rows)
        load = {"nftables": f"echo '{CLOSED}' | nft -f - && nft -f {rules} && nft -f {rules} && "
                            "nft insert rule inet filter input jump culvert_agent_in",
                "iptables": "iptables -P INPUT DROP && iptables -A INPUT -m state --state ESTABLISHED -j ACCEPT && "
                            f"iptables-restore --noflush {rules} && iptables-restore --noflush {rules} && "
                            "iptables -I INPUT -j CULVERT-agent-IN"}[form]
        done = alone("sh", "-c", f"ip link set lo up && {load} && exec python3 {knock} 19999 20000 20001 20002 20003 8080 443")
        check(f"{form}: loaded twice, the agent's ports are open and no others", done.stdout.split()
              == ["20000", "20001", "20002", "8080"], done)


def words_of(line: str) -> list[str]:
    """A line of PowerShell: quoted texts are one word, a doubled quote is a quote."""
    return [word[1:-1].replace("''", "'") if word[0] == "'" else word
            for word in re.findall(r"'(?:[^']|'')*'|[^\s',]+", line)]


def windows(folder: Path) -> None:
    script = made(folder, "windows", "media-server", "--product", "backup-exec").read_text()
    rules = [words_of(line) for line in script.splitlines() if line.startswith("New-NetFirewallRule")]
    known = {"-Group", "-DisplayName", "-Description", "-Direction", "-Action", "-Protocol", "-LocalPort", "-RemotePort"}
    for rule in rules:
        used = [word for word in rule if word.startswith("-")]
        check(f"a rule of known parameters: {rule[4]}", set(used) <= known and len(used) == len(set(used))
              and rule[-2:] == ["|", "Out-Null"], rule)
    inside = {port for rule in rules if "Inbound" in rule for port in rule[rule.index("-LocalPort") + 1:-2]}
    check("the ports of the Backup Exec server", inside == {"6101", "3527", "6106", "5633", "50104", "10082", "10102"}, inside)
    groups = re.findall(r"^Enable-NetFirewallRule -Group '(.*)'$", script, re.MULTILINE)
    check("RPC-EPMAP and WMI-In by Windows' own groups", groups == ["@FirewallAPI.dll,-29502", "@FirewallAPI.dll,-34251"],
          groups)
    check("quotes are in pairs on each line", all(line.count("'") % 2 == 0 for line in script.splitlines()
                                                  if not line.startswith("#")))
    if shutil.which("pwsh"):
        check("PowerShell parses it", tool("pwsh", "-NoProfile", "-Command", "[void][scriptblock]::Create((Get-Content -Raw "
                                           f"'{folder}/windows-media-server.rules'))").returncode == 0)


def requests() -> None:
    rows = list(csv.DictReader(io.StringIO(vib("rules", "--for", "csv", "--role", "agent", "--product", "culvert").out)))
    check("the CSV request has a row for each connection", {row["destination port"] for row in rows}
          == {"10000-10010", "31031, 44046", "80", "443"} and all(len(row) == 6 and None not in row for row in rows), rows)
    text = vib("rules", "--for", "markdown", "--role", "agent", "--set", "gateway-https=8443").out
    table = [line for line in text.splitlines() if line.startswith("|")]
    check("the Markdown request too", len(table) == len(rows) + 2 and len({line.count("|") for line in table}) == 1
          and "| 8443 |" in text, text)


def refusals(folder: Path) -> None:
    refuses("an unknown form", vib("rules", "--for", "pf", "--role", "agent"), 2, "nftables")
    refuses("an unknown role", vib("rules", "--for", "nftables", "--role", "nobody"), 2, "media-server")
    refuses("a role without a row", vib("rules", "--for", "nftables", "--role", "browser", "--product", "culvert"), 2, "browser")
    refuses("a form of incoming rules for one whom nobody calls", vib("rules", "--for", "ufw", "--role", "browser"), 2,
            "nftables")
    refuses("wrong ports", vib("rules", "--for", "csv", "--role", "agent", "--set", "agent-ports=9-1"), 2, "9-1")
    target = folder / "no" / "where"
    refuses("ports that another row opens already", vib("rules", "--for", "csv", "--role", "esxi", "--set", "agent-depot=31031"),
            2, "agent-depot", "agent-ports-without-vib")
    refuses("a catalogue that is not there", vib("ports", "--catalogue", folder / "none.toml"), 1, "none.toml", "--catalogue")
    refuses("an unwritable output", vib("rules", "--for", "csv", "--role", "agent", "--out", target), 1, str(target))
    catalogue = folder / "odd.toml"
    text = (ROOT / "firewall-vib/ports.toml").read_text()
    catalogue.write_text(text.replace('"replication data of the sources; one port for each forward"',
                                      '"it\'s ’odd’; $(reboot) `reboot` %COMSPEC% <b> & \\\\"'))
    for form, program in (("nftables", ["nft", "-c", "-f"]), ("iptables", ["iptables-restore", "--test", "--noflush"]),
                          ("firewalld", ["xmllint", "--noout"])):
        done = alone(*program, made(folder, form, "agent", "--catalogue", catalogue))
        check("odd texts of a catalogue are only texts", done.returncode == 0, done)
    line = next(line for line in made(folder, "windows", "agent", "--catalogue", catalogue).read_text().splitlines()
                if "agent-ports (tcp)" in line)
    check("PowerShell's quotes are doubled, typographic ones too", "it''s ’’odd’’; $(reboot)" in line, line)
    left = list(folder.rglob("*tmp-*"))
    check("no half-written file remains", not left, left)


main(scenario)
