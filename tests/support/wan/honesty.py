"""Is the emulated line what it says? Plain TCP over it against theory, before anybody trusts a table made on it."""
from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable

from wan_line import FAR, LineShape, WanLine

sys.path.append(str(Path(__file__).resolve().parents[1]))
from load import Load  # noqa: E402

SEGMENT = 1448  # Payload of a full packet: 1500 without IP (20), TCP (20) and its timestamps (12).
BUFFERS = {"net.ipv4.tcp_wmem": "4096 65536 67108864", "net.ipv4.tcp_rmem": "4096 131072 67108864"}


@dataclass
class Honesty:
    findings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def check(self, what: str, measured: float, low: float, high: float, unit: str) -> None:
        text = f"{what} {measured:.4g} {unit} (theory {low:.4g} to {high:.4g})"
        self.findings.append(text)
        if not low <= measured <= high:
            self.faults.append(text)

    def line(self) -> str:
        """What stands above a table."""
        return f"line {'DISHONEST' if self.faults else 'honest'}: " + "; ".join(self.findings)


def line_load(line: WanLine, folder: Path) -> Load:
    """A sink at the far end, reachable over the line and by loopback there; sources at the near end."""
    return Load(folder, line.near, line.far, "0.0.0.0:0")


def wire_to_payload(mbit: float) -> float:
    return mbit * SEGMENT / 1500


def cubic_mbit(rtt_s: float, loss: float) -> float:
    """The response function of RFC 9438 §5.1 (C 0.4, β 0.7) or that of Reno, whichever is more, without any limit."""
    cubic = 1.054 * (rtt_s / loss) ** 0.75 / rtt_s
    reno = math.sqrt(1.5 / loss) / rtt_s
    return max(cubic, reno) * SEGMENT * 8 / 1e6


def loss_bounds(packets: int, loss: float) -> tuple[float, float]:
    """Four standard deviations of as many coin throws."""
    deviation = 4 * math.sqrt(loss * (1 - loss) / packets)
    return loss - deviation, loss + deviation


def check_trip(line: WanLine, load: Load, honesty: Honesty, rtt_ms: float) -> None:
    line.shape(LineShape(rtt_ms=rtt_ms))
    trip = load.run("pingpong", [f"{FAR}:{load.port}"], seconds=2)
    # 2 ms are for four sleepers that have to be woken; how late the line itself is, is checked below.
    honesty.check(f"RTT {rtt_ms:g} ms:", trip["p50_us"] / 1e3, rtt_ms, rtt_ms + 2, "ms")


def check_rate(line: WanLine, load: Load, honesty: Honesty, mbit: float, seconds: int) -> None:
    """A connection for each 100 Mbit/s: one alone would take long to fill more where it leaves slow start early."""
    streams, full = max(round(mbit / 100), 1), LineShape(rtt_ms=40, rate_mbit=mbit)
    line.shape(full)
    line.tell("clear")
    # CUBIC at times leaves slow start early: of runs after 3 s of warm-up one in eight was still growing, of 24 after 6 s none.
    steady = load.run("steady", [f"{FAR}:{load.port}"], streams=streams, seconds=seconds, warm_up_ms=6000)
    told, what = line.stats(), "CUBIC" if streams == 1 else f"{streams} x CUBIC"
    honesty.check(f"{what} without loss on {mbit:g} Mbit/s, 40 ms:", steady["mbit_per_s"], 0.99 * wire_to_payload(mbit),
                  1.005 * wire_to_payload(mbit), "Mbit/s")
    honesty.check("queue at most", told["up"]["max_queue_bytes"], 0, full.queue_bytes(), "B")
    honesty.check("lost outside the line", told["not_taken"] + told["strange"], 0, 0, "packets")


def check_line(line: WanLine, load: Load, seconds: int = 4, with_response: bool = True,
               shapes: Iterable[LineShape] = ()) -> Honesty:
    """About 12 + 4 x `seconds` s. `shapes` are those of the table: 2.5 s more for each RTT but 80 ms, 6 + `seconds` s for each
    rate but 100 Mbit/s. Leaves the line shaped by its last step."""
    honesty, to, shapes = Honesty(), [f"{FAR}:{load.port}"], list(shapes)
    line.set_kernel(BUFFERS)
    for rtt_ms in sorted({80} | {shape.rtt_ms for shape in shapes} - {0}):
        check_trip(line, load, honesty, rtt_ms)
    for mbit in sorted({100} | {shape.rate_mbit for shape in shapes} - {0}):
        check_rate(line, load, honesty, mbit, seconds)
    if with_response:
        loss, rtt = 0.01, 0.04
        line.shape(LineShape(rtt_ms=rtt * 1e3, rate_mbit=400, loss=loss))
        line.tell("clear")
        steady = load.run("steady", to, seconds=3 * seconds, warm_up_ms=2000, streams=8)
        told = line.stats()["up"]
        expected = 8 * cubic_mbit(rtt, loss)
        honesty.check("8 x CUBIC at 1 % loss, 40 ms:", steady["mbit_per_s"], 0.6 * expected, 1.5 * expected, "Mbit/s")
        sent = told["packets"] + told["dropped_by_loss"]
        low, high = loss_bounds(sent, loss)
        honesty.check(f"loss 1 % of {sent} packets:", told["dropped_by_loss"] / sent * 100, low * 100, high * 100, "%")
        honesty.check("late on average", told["mean_late_us"], 0, 500, "us")
    return honesty
