#!/usr/bin/env python3
"""culvert-agent doctor --backup-exec and --listen on two machines with a firewall between: each blocked port is named, in
its direction, with what Backup Exec says of it; "control works but data is blocked" when only 10000 passes; a port that
connects and carries nothing is not open; an NDMP agent on 10000 counts, and is no other end of a check. A firewall with the
rules of the catalogue is healthy, a data range that another program has is not. culvert-agent explain knows the numbers."""
import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from support.scenario import BIN, Done, Process, agent, check, main, refuses, wait_until
from support.two_hosts import ABSENT, FAR, NEAR, TwoHosts

RANGE = "20000-20024"
SILENT = textwrap.dedent("""
    import socket, sys
    listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
    print("ready", flush=True)
    kept = []
    while True:
        kept.append(listener.accept())
""")
HOLD = textwrap.dedent("""
    import socket, sys, time
    first, last = map(int, sys.argv[1].split("-"))
    kept = [socket.create_server(("0.0.0.0", port)) for port in range(first, last + 1)]
    print("ready", flush=True)
    time.sleep(1000)
""")
STRANGER = textwrap.dedent("""
    import socket, sys
    with socket.create_connection((sys.argv[1], 10000), 5) as line:
        line.recv(100)
        try:
            for said in sys.argv[2:]:
                line.sendall(said.encode() + b"\\n")
                line.recv(4096)
        except ConnectionResetError:  # As good an answer to a stranger as an end.
            pass
""")
NDMP = textwrap.dedent("""
    import socket, struct, sys
    listener = socket.create_server(("0.0.0.0", 10000))
    print("ready", flush=True)
    hello = struct.pack(">IIIIIIIIII", 0x80000024, 1, 0, 0, 0x502, 0, 0, 0, 4, 0)
    while True:
        peer, _ = listener.accept()
        try:
            peer.sendall(hello)
            asked = peer.recv(64)
            if struct.unpack(">I", asked[16:20])[0] == 0x900:
                peer.sendall(struct.pack(">IIIIIIII", 0x8000001c, 2, 0, 1, 0x900, 1, 0, 0))
            peer.recv(64)
        except OSError:
            pass
""")


class Ends:
    """The media server is the near end, the remote server the far one."""

    def __init__(self, hosts: TwoHosts, folder: Path):
        self.hosts, self.folder = hosts, folder
        self.listener = None

    def listen(self, *words: str, end: list[str] = None) -> None:
        log = open(self.folder / "listener.log", "w+")
        command = [*(end or self.hosts.far), BIN / "culvert-agent", "doctor", "--listen", "--json", "--data-range", RANGE, *words]
        self.listener = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=log, text=True)
        wait_until("the listening end waits", lambda: "waiting" in (self.folder / "listener.log").read_text())

    def heard(self) -> tuple[int, dict]:
        out, _ = self.listener.communicate(timeout=20)
        return self.listener.returncode, json.loads(out)

    def check(self, *words: str, host: str = FAR, end: list[str] = None) -> tuple[Done, dict]:
        command = [*(end or self.hosts.near), BIN / "culvert-agent", "doctor", "--json", "--backup-exec", host, *words]
        if "--data-range" not in words:
            command += ["--data-range", RANGE]
        began = time.monotonic()
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=30, check=False)
        check(f"it took {time.monotonic() - began:.1f} s", time.monotonic() - began < 10)
        return Done(done.returncode, done.stdout, done.stderr), json.loads(done.stdout or "{}")

    def finds(self, wanted: list[str], *pieces: str, listens: bool = True, **more) -> dict:
        if listens:
            self.listen()
        done, report = self.check(*more.pop("words", ()), **more)
        found = [finding["id"] for finding in report["findings"]]
        check(f"{wanted} is found, and nothing else", done.code == 1 and found == wanted, done)
        shown = done.out
        for piece in pieces:
            check(f"  it says '{piece}'", piece in shown, shown)
        return report

    def stop(self) -> None:
        if self.listener is not None and self.listener.poll() is None:
            self.listener.terminate()
            self.listener.communicate(timeout=20)


def scenario(folder: Path) -> None:
    explained()
    usage()
    hosts = TwoHosts()
    ends = Ends(hosts, folder)
    try:
        open_ports(ends)
        only_control(ends)
        blocked_ports(ends)
        no_bytes(ends)
        rules_of_the_catalogue(ends)
        turned_away(ends)
        other_programs(ends, folder)
        taken_range(ends, folder)
        ranges_and_roles(ends)
        nobody(ends, folder)
        strangers(ends)
    finally:
        ends.stop()
        hosts.close()


def explained() -> None:
    by_code, by_message = agent("explain", "0xE0000F25"), agent("explain", "v-79-57344-3877")
    check("explain knows 0xE0000F25 by both of its names", by_code.code == 0 and by_code.out == by_message.out, by_message)
    check("  and without its 0x", agent("explain", "E0000F25").out == by_code.out)
    check("  and says what it means and what to check", "communication failure" in by_code.out and "10000" not in by_code.err
          and "control works but data is blocked" in by_code.out, by_code)
    known = json.loads(agent("explain", "--json").out)["errors"]
    check("without a number it lists all", {"0xE0000F02", "0xE0000F25"} <= {entry["code"] for entry in known}, known)
    check("V-370-59792-00041 is among them", agent("explain", "V-370-59792-00041").code == 0)
    refuses("an empty number", agent("explain", ""), 2, "CODE: it is empty")
    refuses("a number that nobody knows", agent("explain", "0xE0001234"), 1, "V-79-57344-4660", "0xE0000F25")


def usage() -> None:
    for words, piece in ((("--listen", "--backup-exec", "x"), "two ends"), (("--ports", "80"), "--backup-exec"),
                         (("--listen", "--ports", "70000"), "70000"), (("--listen", "--ports", "1,1"), "1"),
                         (("--listen", "--data-range", "30000-20000"), "30000"),
                         (("--listen", "--data-range", "1-9,20-29"), "one"),
                         (("--listen", "--ports", ""), "--ports"), (("--backup-exec", ""), "--backup-exec"),
                         (("--backup-exec", "x:10000"), "give the host alone"),
                         (("--backup-exec", "[::1]:10000"), "give the host alone"),
                         (("--listen", "--ports", "1-65"), "65"), (("--backup-exec", "x", "--as", "king"), "king"),
                         (("--backup-exec", "x", "--jobs", "0"), "jobs")):
        refuses(" ".join(words), agent("doctor", *words), 2, piece)


def open_ports(ends: Ends) -> None:
    ends.listen()
    done, report = ends.check()
    check("with all ports open it is healthy", done.code == 0 and report["healthy"] and not report["findings"], done)
    check("every port is open", {port["state"] for port in report["ports"]} == {"open"} and len(report["ports"]) == 31, report)
    ways = {port["port"]: (port["from"], port["to"]) for port in report["ports"]}
    check("each in its direction", ways[10000] == ways[20000] == ("media server", "remote server")
          and ways[6101] == ways[10082] == ways[10102] == ("remote server", "media server"), ways)
    code, heard = ends.heard()
    check("the other end says the same and ends", code == 0 and heard["healthy"] and heard["finished"], heard)
    check("with the ports of both directions", set(heard["answered"]) == {10000, *range(20000, 20025)}
          and {6101, 10082, 10102} <= set(heard["passed_back"]), heard)


def only_control(ends: Ends) -> None:
    for verdict, word in (("drop", "silently dropped"), ("reject with tcp reset", "refused")):
        ends.hosts.firewall(ends.hosts.far, f"tcp dport 20000-20024 {verdict}")
        report = ends.finds(["data_blocked"], "0xE0000F25", "V-79-57344-3877", RANGE, word)
        cause = report["findings"][0]["cause"]
        check("  in exactly those words", cause == "control works but data is blocked", cause)
        code, heard = ends.heard()
        check("  and the other end knows", code == 1 and "20000-20024" in heard["findings"][0]["cause"], heard)
    ends.hosts.firewall(ends.hosts.far, "tcp dport 20000-20009 drop")
    ends.finds(["data_partly_blocked"], "20000-20009", "10 of 25")
    ends.heard()
    ends.hosts.no_firewall()


def blocked_ports(ends: Ends) -> None:
    cases = [(ends.hosts.far, 10000, "drop", "V-79-57344-3842"), (ends.hosts.far, 10000, "reject with tcp reset", "0xE0000F02"),
             (ends.hosts.near, 6101, "drop", "selection lists"), (ends.hosts.near, 10082, "drop", "deduplication"),
             (ends.hosts.near, 10102, "reject with tcp reset", "deduplication")]
    for end, port, verdict, symptom in cases:
        ends.hosts.firewall(end, f"tcp dport {port} {verdict}")
        report = ends.finds(["backup_exec_port_closed"], symptom)
        check(f"  TCP {port}, {verdict}", f"TCP {port} " in report["findings"][0]["cause"], report["findings"])
        ends.heard()
        ends.hosts.no_firewall()
    ends.hosts.firewall(ends.hosts.far, "meta l4proto tcp drop")
    ends.finds(["backup_exec_port_closed", "backup_exec_port_closed", "other_direction_unchecked"], "10000", RANGE)
    ends.stop()
    ends.hosts.no_firewall()


def rules_of_the_catalogue(ends: Ends) -> None:
    replies = "ct state established,related accept"
    ends.hosts.firewall(ends.hosts.near, replies, "tcp dport { 6101, 10082, 10102 } accept", "meta l4proto tcp drop")
    ends.hosts.firewall(ends.hosts.far, replies, f"tcp dport {{ 10000, {RANGE} }} accept", "meta l4proto tcp drop")
    ends.listen()
    done, report = ends.check()
    found = [(finding["id"], finding["severity"]) for finding in report["findings"]]
    check("a firewall with the rules of the catalogue is healthy", done.code == 0 and report["healthy"], done)
    check("  with a note of the ports that only a console needs", found == [("backup_exec_port_closed", "note")]
          and "TCP 3527, 6106 " in report["findings"][0]["cause"] and "needed only where a remote administration console runs"
          in report["findings"][0]["advice"], report["findings"])
    code, heard = ends.heard()
    check("  and so says the other end", code == 0 and heard["healthy"] and heard["findings"] == [], heard)
    ends.hosts.no_firewall()


def turned_away(ends: Ends) -> None:
    ends.finds(["no_route"], "no route to 192.0.2.9", listens=False, host="192.0.2.9")
    ends.finds(["host_absent"], f"nothing answers at {ABSENT} in the local network", "switched on", listens=False, host=ABSENT)
    ends.hosts.firewall(ends.hosts.far, "tcp dport 10000 reject with icmp type admin-prohibited")
    ends.finds(["port_prohibited"], "administratively prohibited", FAR)
    ends.heard()
    ends.hosts.firewall(ends.hosts.far, "meta l4proto tcp reject with icmp type admin-prohibited")
    ends.finds(["port_prohibited"], "administratively prohibited", FAR)
    ends.stop()
    ends.hosts.firewall(ends.hosts.near, "tcp dport 10000 reject with icmp type admin-prohibited", chain="output")
    ends.hosts.firewall(ends.hosts.far, "meta l4proto tcp drop")
    ends.finds(["backup_exec_port_closed", "backup_exec_port_closed", "other_direction_unchecked"], "own firewall", RANGE,
               "silently dropped")
    ends.stop()
    ends.hosts.no_firewall()


def no_bytes(ends: Ends) -> None:
    ends.hosts.firewall(ends.hosts.far, "tcp dport 10000 tcp flags & psh == psh drop")
    ends.finds(["backup_exec_port_closed"], "connected but passes no bytes", "what was sent got no answer")
    ends.heard()
    ends.hosts.no_firewall()
    ends.hosts.firewall(ends.hosts.near, "tcp sport 20000-20024 tcp flags & psh == psh drop")
    ends.finds(["data_blocked"], "connected, and then not a byte")
    ends.heard()
    ends.hosts.no_firewall()


def other_programs(ends: Ends, folder: Path) -> None:
    ndmp = Process([*ends.hosts.far, sys.executable, "-c", NDMP], folder / "ndmp.log", ready="ready")
    ends.listen()
    done, report = ends.check()
    check("an NDMP agent that answers on 10000 counts as open", done.code == 0 and report["healthy"], done)
    check("  and is named", "NDMP" in next(port for port in report["ports"] if port["port"] == 10000)["detail"], report)
    _, heard = ends.heard()
    check("  and the listening end says who has the port", "python" in heard["taken"]["10000"], heard)
    ndmp.stop()
    silent = Process([*ends.hosts.near, sys.executable, "-c", SILENT, "6101"], folder / "silent.log", ready="ready")
    ends.finds(["port_unproven"], "6101", "python")
    code, heard = ends.heard()
    check("  and the listening end is not healthy either", code == 1
          and [finding["id"] for finding in heard["findings"]] == ["port_unproven"], heard)
    silent.stop()
    silent = Process([*ends.hosts.far, sys.executable, "-c", SILENT, "10000"], folder / "silent.log", ready="ready")
    ends.finds(["port_unproven"], "10000", "another program")
    code, heard = ends.heard()
    check("a port that the listening end was to prove and another program has", code == 1
          and heard["findings"][0]["id"] == "port_unproven" and "python" in heard["findings"][0]["evidence"], heard)
    silent.stop()


def taken_range(ends: Ends, folder: Path) -> None:
    few = Process([*ends.hosts.far, sys.executable, "-c", HOLD, "20003-20005"], folder / "hold.log", ready="ready")
    ends.listen()
    done, report = ends.check()
    check("a few data ports that another program has are passed over", done.code == 0 and report["healthy"], done)
    check("  at the listening end too", ends.heard()[0] == 0)
    ends.hosts.firewall(ends.hosts.far, "tcp dport 20003-20005 drop")
    ends.finds(["data_partly_blocked"], "20003-20005", "3 of 25")
    check("  unless packets to them are dropped", ends.heard()[0] == 1)
    ends.hosts.no_firewall()
    few.stop()
    all_of_it = Process([*ends.hosts.far, sys.executable, "-c", HOLD, RANGE], folder / "hold.log", ready="ready")
    ends.finds(["port_unproven"], "whether any data port is open", "another program")
    code, heard = ends.heard()
    check("a data range that another program has altogether proves nothing", code == 1 and len(heard["findings"]) == 1
          and heard["findings"][0]["id"] == "port_unproven" and "python" in heard["findings"][0]["evidence"], heard)
    ends.hosts.firewall(ends.hosts.far, f"tcp dport {RANGE} drop")
    ends.finds(["data_blocked"], "silently dropped")
    code, heard = ends.heard()
    check("  and where packets are dropped, it is blocked", code == 1
          and heard["findings"][0]["id"] == "backup_exec_port_closed", heard)
    ends.hosts.no_firewall()
    all_of_it.stop()


def ranges_and_roles(ends: Ends) -> None:
    ends.listen("--jobs", "20")
    ends.finds(["data_range_small"], "fewer than 2 ports for each of 20 jobs", "0xE0000F25", words=("--jobs", "20"),
               listens=False)
    code, heard = ends.heard()
    check("the listening end says so too", code == 1 and [finding["id"] for finding in heard["findings"]]
          == ["data_range_small"], heard)
    ends.finds(["data_range_small", "other_end_not_listening"], "fewer than 25 ports", "30000-30009",
               words=("--data-range", "30000-30009"))
    ends.heard()
    ends.listen(end=ends.hosts.near)
    done, report = ends.check("--as", "remote-server", host=NEAR, end=ends.hosts.far)
    ways = {port["port"]: (port["from"], port["state"]) for port in report["ports"]}
    check("the same from the remote server", done.code == 0 and ways[10000] == ("media server", "open")
          and ways[6101] == ("remote server", "open"), done)
    ends.heard()


def nobody(ends: Ends, folder: Path) -> None:
    ends.finds(["other_end_not_listening"], "--listen", listens=False)
    ends.finds(["other_end_not_listening"], "::1 refuses every port", listens=False, host="[::1]")
    ndmp = Process([*ends.hosts.far, sys.executable, "-c", NDMP], folder / "ndmp.log", ready="ready")
    ends.finds(["other_end_not_listening"], "an NDMP agent answers", "--listen",
               "control works but data is blocked", listens=False)
    ndmp.stop()
    ends.finds(["name_unresolved"], "nosuch.invalid", listens=False, host="nosuch.invalid")
    ends.listen("--for", "1")
    code, heard = ends.heard()
    check("a listening end to which nobody comes says so", code == 1 and heard["findings"][0]["id"] == "nobody_came", heard)
    ends.listen()
    ends.listener.terminate()
    check("and one that is stopped, too", ends.heard()[0] == 1)


def strangers(ends: Ends) -> None:
    said = [*ends.hosts.near, sys.executable, "-c", STRANGER, FAR]
    ends.listen()
    subprocess.run([*said, '{"token":"x"}', '{"end":1}'], timeout=20, check=True)
    code, heard = ends.heard()
    check("an end without a check is not healthy", code == 1 and heard["findings"][0]["id"] == "other_direction_unchecked"
          and RANGE in heard["findings"][0]["cause"], heard)
    ends.listen()
    subprocess.run([*said, '{"end":1}'], timeout=20, check=True)
    check("and one line of a stranger ends nothing", ends.listener.poll() is None)
    with subprocess.Popen([*ends.hosts.near, sys.executable, "-c", textwrap.dedent(f"""
            import socket
            for junk in (b"\\xff" * 100 + b"\\n", b'[1]\\n', b'{{"token":7}}\\n', b'{{"dial":"x"}}\\n',
                         b'{{"dial":[0,-1,99999]}}\\n', b"a" * 100000):
                try:
                    with socket.create_connection(("{FAR}", 10000), 5) as line:
                        line.sendall(junk)
                        line.settimeout(5)
                        line.recv(100)
                except OSError:
                    pass
            """)]) as stranger:
        stranger.wait(60)
    done, report = ends.check()
    check("nonsense from strangers spoils no check", done.code == 0 and report["healthy"], done)
    check("and the listening end ends well", ends.heard()[0] == 0)


main(scenario)
