#!/usr/bin/env python3
"""culvert-agent doctor on a far line: windows that are too small for it are a note; an agent whose memory is too small for
it is a finding. Memory is told from windows by which end has too little. A satellite's distance alone is no trouble. A line
that drops because it is full is not taken for one that loses packets, whatever congestion control fills it."""
from pathlib import Path

from support.far_pair import FarPair
from support.proxied import set_section
from support.scenario import Skip, check, main, wait_until
from honesty import BUFFERS
from wan_line import FAR, LineShape, NO_BBR, WanLine, unavailable

PORT, TARGET = 10003, 7001
SMALL = "8 MiB"
WARM = 10_000_000  # Bytes; 4 s of the slower lines.
FULL = {"limited_by_shaper", "limited_by_line"}
AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
SINK = f"""
import socket
listener = socket.create_server(("{FAR}", {TARGET}))
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    try:
        while peer.recv(1 << 20):
            pass
    except OSError:
        pass
"""
SOURCE = f"""
import socket
stream = socket.create_connection(("127.0.0.1", {PORT}))
print("ready", flush=True)
try:
    while True:
        stream.sendall(bytes(1 << 20))
except OSError:
    pass
"""


def scenario(folder: Path) -> None:
    lack = unavailable()
    if lack:
        raise Skip(lack)
    with WanLine(seed=1) as line:
        line.set_kernel(BUFFERS)
        line.shape(LineShape(rtt_ms=600, rate_mbit=50))
        satellite(line, folder / "satellite")
        line.shape(LineShape(rtt_ms=200, rate_mbit=1000))
        finds(line, folder / "window", f'session_memory = "{SMALL}"', "window", "limited_by_window", note=True)
        finds(line, folder / "memory", "", "memory", "limited_by_memory", note=False)
        for name, queue, congestion in (("full", 1, "cubic"), ("deep", 6, "bbr")):
            if congestion not in AVAILABLE.read_text().split():
                print(f"not tried: {congestion}, which this kernel does not have")
                continue
            line.shape(LineShape(40, 20, 0, congestion, queue))
            drops(line, folder / name, congestion, FULL)
        line.shape(LineShape(40, 100, 0.03, "cubic"))  # CUBIC does not fill this one for its losses; BBR does.
        drops(line, folder / "lossy", "cubic", {"limited_by_loss"})


def satellite(line: WanLine, folder: Path) -> None:
    folder.mkdir()
    pair = FarPair(line, folder, FAR)
    try:
        pair.healthy()
        pair.start_agent()
        pair.healthy()
    finally:
        pair.stop()


def finds(line: WanLine, folder: Path, limits: str, limited_by: str, finding: str, note: bool) -> None:
    folder.mkdir()
    pair, programs = FarPair(line, folder, FAR, limits), []
    try:
        if not limits:
            set_section(pair.agent_config, "limits", session_memory=SMALL)
        pair.start_agent()
        programs.append(pair.python(line.far, SINK, name="sink"))
        pair.forward("bulk", f"{FAR}:{TARGET}", PORT)
        programs.append(pair.python(line.near, SOURCE, name="source"))
        wait_until(f"a session limited by its {limited_by}",
                   lambda: pair.status()["session"]["limited_by"] == limited_by, 60)
        pair.finds(finding, "bytes wait", note=note, looks=4)
    finally:
        for program in programs:
            program.kill()
        pair.stop()


def drops(line: WanLine, folder: Path, congestion: str, wanted: set[str]) -> None:
    folder.mkdir()
    pair, programs = FarPair(line, folder, FAR), []
    try:
        pair.start_agent(*(NO_BBR if congestion == "cubic" else []))
        programs.append(pair.python(line.far, SINK, name="sink"))
        pair.forward("bulk", f"{FAR}:{TARGET}", PORT)
        programs.append(pair.python(line.near, SOURCE, name="source"))
        wait_until("a busy line", lambda: sum(lane["sent_bytes"] for lane in pair.status()["lanes"]) > WARM, 60)
        seen = 0
        for _ in range(6):
            done, findings = pair.doctor()
            found = {finding["id"] for finding in findings}
            # While lanes are added and their windows grow, the limit may change from look to look: then nothing is said.
            check(f"{folder.name}: {found or 'nothing'}, of {wanted}", len(found) <= 1 and found <= wanted, done)
            if found:
                print(f"      {findings[0]['evidence']}")
            seen += len(found)
            if seen == 2:
                break
        check(f"{folder.name}: twice in six looks", seen == 2)
    finally:
        for program in programs:
            program.kill()
        pair.stop()


main(scenario)
