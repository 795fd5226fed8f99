"""The honesty check once more where it is hardest: as many lines at once as bench wan is going to use."""
from __future__ import annotations

import statistics

from wan_peers import PairError
from wan_plan import Item, Settings, cores_of
from wan_runs import LATE_US, Wave
from honesty import Honesty, cubic_mbit, loss_bounds
from wan_line import LineShape

SHAPE, CONNECTIONS = LineShape(rtt_ms=40, rate_mbit=400, loss=0.01), 8  # As the last step of check_line().
SMALL = LineShape(rtt_ms=200, rate_mbit=400, loss=0.01)  # One connection: the least that a run carries.
SETTINGS = Settings(runs=1, other_runs=1, seconds=12, warm_up=2, seed=1, fresh=True)


def crowd(budget: float, most_lines: int) -> list[Item]:
    """So many lines, or more if the budget allows; of these as many as it allows carry what is held against theory."""
    large, small = cores_of(Item(SHAPE, CONNECTIONS, "plain", 0)), cores_of(Item(SMALL, 1, "plain", 0))
    lines = max(most_lines, int(budget / large), 1)
    checked = min(max(int((budget - lines * small) / (large - small)), 1), lines)
    return [Item(SHAPE, CONNECTIONS, "plain", i) if i < checked else Item(SMALL, 1, "plain", i) for i in range(lines)]


def prove_crowd(budget: float, most_lines: int) -> Honesty:
    """About 20 s. One line scatters, so theory is held against the mean of those checked, and lateness against the latest."""
    items, found = crowd(budget, most_lines), {}

    def failed(item: Item, error: Exception) -> None:
        raise PairError(f"{len(items)} lines at once: {item}: {error}")

    Wave([[item] for item in items], SETTINGS).run(found.__setitem__, failed)
    checked = [result for item, result in found.items() if item.shape == SHAPE]
    honesty, expected = Honesty(), CONNECTIONS * cubic_mbit(SHAPE.rtt_ms / 1e3, SHAPE.loss)
    honesty.check(f"8 x CUBIC at 1 % loss, {SHAPE.rtt_ms:g} ms, on each of {len(checked)}:",
                  statistics.mean(run["mbit_per_s"] for run in checked), 0.6 * expected, 1.5 * expected, "Mbit/s on average")
    packets = sum(run["packets"] for run in checked)
    low, high = loss_bounds(packets, SHAPE.loss)
    honesty.check(f"loss 1 % of {packets} packets:", sum(run["lost_packets"] for run in checked) / packets * 100, low * 100,
                  high * 100, "%")
    honesty.check("late on average, the latest of all:", max(run["late_us"] for run in found.values()), 0, LATE_US, "us")
    honesty.findings.append(f"{statistics.mean(run['idle'] for run in found.values()) * 100:.0f} % of the processor idle")
    text = f"{len(items)} lines at once: {honesty.line()}"
    print(text, flush=True)
    honesty.findings = [text]
    return honesty
