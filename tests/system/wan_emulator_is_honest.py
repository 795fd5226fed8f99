#!/usr/bin/env python3
"""The emulated line does what it is told: delay, rate, queue, loss, cuts, and every way of killing one connection."""
import subprocess
import sys
import textwrap
from pathlib import Path

from support.play import Scenario, play

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support" / "wan"))
from honesty import Load, check_line, line_load  # noqa: E402
from local_pair import PairError, wait_until  # noqa: E402
from wan_line import FAR, LineShape, WanLine, unavailable  # noqa: E402

PORT, NEAR_PORT = 7000, 20000
# Two connections from one port, of which the near end forgets the first one unanswered.
UNANSWERED = f"""
import socket
for number in range(2):
    dial = socket.socket()
    dial.bind(("", {NEAR_PORT + 1}))
    dial.settimeout(0.2)
    try:
        dial.connect(("{FAR}", {PORT + 60}))
    except TimeoutError:
        dial.close()
"""
# One connection that talks both ways; prints how it ended, as the end that runs it saw it.
PEER = textwrap.dedent("""
    import socket, struct, sys
    role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if role == "far":
        listener = socket.create_server((address, port))
        print("listening", flush=True)
        peer, _ = listener.accept()
    else:
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        peer.bind(("", int(sys.argv[4])))
        peer.settimeout(10)
        peer.connect((address, port))
    peer.settimeout(0.02)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # Nothing of it is left at the end.
    print("open", flush=True)
    silent = 0
    while silent < 100:
        try:
            try:
                peer.send(bytes(1000))
            except BrokenPipeError:
                pass  # The peer's FIN came before; what it left is still to be read.
            silent = 0 if (piece := peer.recv(65536)) else silent
            if not piece:
                print("end", flush=True)
                break
        except TimeoutError:
            silent += 1
        except OSError as error:
            print(type(error).__name__, flush=True)
            break
    else:
        print("silence", flush=True)
""")


class Talk:
    """A connection over the line, and how each end saw it end."""

    def __init__(self, scenario: Scenario, line: WanLine, port: int, near_port: int = 0):
        self.line, self.ends = line, {}
        for role, words in (("far", line.far), ("near", line.near)):
            command = [*words, sys.executable, "-c", PEER, role, FAR, str(port), str(near_port)]
            self.ends[role] = scenario.stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            scenario.stack.callback(self.ends[role].kill)
            self.ends[role].stdout.readline()
        wait_until("traffic on the connection", lambda: any(f["down_packets"] > 5 for f in line.flows(port)))
        self.flow = line.flows(port)[0]["flow"]

    def endings(self) -> tuple[str, str]:
        return tuple(self.ends[role].communicate(timeout=20)[0].split()[-1] for role in ("near", "far"))


def kills(scenario: Scenario, line: WanLine) -> None:
    line.shape(LineShape(rtt_ms=20))
    wanted = {"reset": ({"ConnectionResetError", "BrokenPipeError"}, {"ConnectionResetError", "BrokenPipeError"}),
              "hole": ({"silence"}, {"silence"}),
              "rebind": ({"ConnectionResetError", "BrokenPipeError"}, {"silence"})}
    for number, (kill, (near, far)) in enumerate(wanted.items()):
        talk = Talk(scenario, line, PORT + number)
        other = Talk(scenario, line, PORT + 100 + number)
        line.tell(f"{kill} {talk.flow}")
        seen = talk.endings()
        scenario.check(f"{kill}: the near end saw {seen[0]}, the far end {seen[1]}", seen[0] in near and seen[1] in far, seen)
        scenario.check(f"{kill}: the connection beside it went on", line.flows(PORT + 100 + number))
        line.tell(f"reset {other.flow}")
        other.endings()
    for kill in ("hole", "rebind", "truncate"):
        for again in (False, True):
            talk = Talk(scenario, line, PORT + 40, NEAR_PORT)
            line.tell(f"{'reset' if again else kill} {talk.flow}")
            talk.endings()
        scenario.check(f"{kill}: a new connection from the same port is another one", True)
    talk = Talk(scenario, line, PORT + 50)
    line.tell(f"truncate {talk.flow}")
    seen = set(talk.endings())
    scenario.check("truncate: one end saw an end of stream in the middle, the other a reset", "end" in seen and
                   seen & {"ConnectionResetError", "BrokenPipeError"}, seen)


def cut_and_uncut(scenario: Scenario, line: WanLine, load: Load) -> None:
    line.tell("cut both")
    with subprocess.Popen([*line.near, sys.executable, "-c", f"import socket; socket.create_connection(('{FAR}', "
                           f"{load.port}), 20); print('connected', flush=True)"], stdout=subprocess.PIPE) as dial:
        dropped = lambda: line.stats()["up"]["dropped_by_cut"] > 0  # noqa: E731
        wait_until("a packet lost to the cut", dropped)
        scenario.check("nothing passes a line that is cut", dial.poll() is None)
        line.tell("uncut both")
        scenario.check("the same connection is made once the cut is over", dial.stdout.readline() == b"connected\n")


def unanswered(scenario: Scenario, line: WanLine) -> None:
    line.tell("cut both")
    subprocess.run([*line.near, sys.executable, "-c", UNANSWERED], check=True)
    line.tell("uncut both")
    seen = [flow for flow in line.tell("flows")["flows"] if flow["far_port"] == PORT + 60]
    scenario.check("a connection from the port of one that nobody answered is another one", len(seen) == 2, seen)


def scenario_body(scenario: Scenario) -> None:
    line = scenario.stack.enter_context(WanLine(seed=20260))
    scenario.note(f"seed {line.seed}")
    load = line_load(line, scenario.folder)
    scenario.stack.callback(load.stop)
    honesty = check_line(line, load, seconds=3)
    scenario.note(honesty.line())
    scenario.check("delay, rate, queue, loss and the rates of CUBIC are what theory says", not honesty.faults, honesty.faults)
    kills(scenario, line)
    cut_and_uncut(scenario, line, load)
    unanswered(scenario, line)
    try:
        line.tell("set both loss 2")
        refused = False
    except PairError:
        refused = True
    scenario.check("a wrong command is refused, and the line lives", refused and line.stats()["ok"])


if __name__ == "__main__":
    missing = unavailable()
    if missing is not None:
        print(f"skipped: {missing}", file=sys.stderr)
        sys.exit(77)
    play(scenario_body)
