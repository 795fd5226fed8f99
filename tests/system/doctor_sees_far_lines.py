#!/usr/bin/env python3
"""culvert-agent doctor on a far line: windows that are too small for it are a note; an agent whose memory, or kernels whose
socket buffers are too small for it are findings. Memory is told from windows by which end has too little. A satellite's
distance alone is no trouble. A line that drops because it is full is not taken for one that loses packets, whatever
congestion control fills it."""
from pathlib import Path

from support.bulk import sink_program, source_program
from support.far_pair import FarPair, long_line
from support.proxied import set_section
from support.scenario import check, main, wait_until
from honesty import BUFFERS
from wan_line import FAR, LineShape, NO_BBR, WanLine

PORT, TARGET = 10003, 7001
SMALL = "8 MiB"
SMALL_BUFFERS = {"net.ipv4.tcp_wmem": "4096 16384 131072", "net.ipv4.tcp_rmem": "4096 131072 131072"}
WARM = 10_000_000  # Bytes; 4 s of the slower lines.
FULL = {"limited_by_shaper", "limited_by_line"}
AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
SINK, SOURCE = sink_program(FAR, TARGET), source_program(PORT)


def scenario(folder: Path) -> None:
    with long_line() as line:
        line.shape(LineShape(rtt_ms=600, rate_mbit=50))
        satellite(line, folder / "satellite")
        line.shape(LineShape(rtt_ms=200, rate_mbit=1000))
        finds(line, folder / "window", "limited_by_window", small_gateway=True, note=True)
        finds(line, folder / "memory", "limited_by_memory", small_agent=True)
        line.set_kernel(SMALL_BUFFERS)
        finds(line, folder / "buffers", "limited_by_buffers")
        line.set_kernel(BUFFERS)
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
    with FarPair(line, folder, FAR) as pair:
        pair.healthy()
        pair.start_agent()
        pair.healthy()


def finds(line: WanLine, folder: Path, finding: str, small_gateway: bool = False, small_agent: bool = False,
          note: bool = False) -> None:
    folder.mkdir()
    limited_by = folder.name
    with FarPair(line, folder, FAR, f'session_memory = "{SMALL}"' if small_gateway else "") as pair:
        if small_agent:
            set_section(pair.agent_config, "limits", session_memory=SMALL)
        pair.start_agent()
        pair.python(line.far, SINK, name="sink")
        pair.forward("bulk", f"{FAR}:{TARGET}", PORT)
        pair.python(line.near, SOURCE, name="source")
        wait_until(f"a session limited by its {limited_by}",
                   lambda: pair.status()["session"]["limited_by"] == limited_by, 60)
        pair.finds(finding, "bytes wait", note=note, looks=4)


def drops(line: WanLine, folder: Path, congestion: str, wanted: set[str]) -> None:
    folder.mkdir()
    with FarPair(line, folder, FAR) as pair:
        pair.start_agent(*(NO_BBR if congestion == "cubic" else []))
        pair.python(line.far, SINK, name="sink")
        pair.forward("bulk", f"{FAR}:{TARGET}", PORT)
        pair.python(line.near, SOURCE, name="source")
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


main(scenario)
