"""The table of bench local, its bars, and bench/RESULTS.md."""
from __future__ import annotations

import statistics
from pathlib import Path
from typing import Optional

from local_measures import BUSY_BESIDE, IDLE, OPENERS
from local_peers import REFERENCE, Culvert, Direct, PlainRelays, Ssh

BARS = {"throughput": 1.0, "cpu": 1.0, "share": 0.95, "p50": 1.15, "held_p99": 2.0, "opens": 1.5, "idle_kib": 4.0,
        "idle_cpu_percent": 0.5, "sites": 0.9, "sites_jain": 0.99, "beside_idle": 1.1, "fixed_mib": 64}
NO_RIVALS = (Direct.name, PlainRelays.name, REFERENCE, Culvert.name)


class Figures:
    """Medians over rounds; ratios are formed within a round first."""

    def __init__(self, result: dict):
        self.result, self.rounds = result, result["rounds"]

    def values(self, peer: str, *path: str) -> list[float]:
        found = []
        for round_ in self.rounds:
            value = round_.get(peer, {})
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                found.append(value)
        return found

    def median(self, peer: str, *path: str) -> Optional[float]:
        values = self.values(peer, *path)
        return statistics.median(values) if values else None

    def ratio(self, over: str, under: str, *path: str, under_path: tuple = ()) -> Optional[float]:
        pairs = list(zip(self.values(over, *path), self.values(under, *(under_path or path))))
        return statistics.median(a / b for a, b in pairs) if pairs else None

    def idle(self, peer: str, *path: str) -> Optional[float]:
        value = self.result.get("idle", {}).get(peer, {})
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value


# (first line of the heading, second line, digits, what)
COLUMNS = [
    ("GB/s", "1 str", 2, lambda f, p: f.median(p, "streams_1", "gb_per_s")),
    ("GB/s", "11 str", 2, lambda f, p: f.median(p, "streams_11", "gb_per_s")),
    ("CPU-s", "/GB 1", 2, lambda f, p: f.median(p, "streams_1", "cpu_s_per_gb")),
    ("CPU-s", "/GB 11", 2, lambda f, p: f.median(p, "streams_11", "cpu_s_per_gb")),
    ("slow/", "fast", 2, lambda f, p: f.median(p, "streams_11", "share")),
    ("64 B", "p50 us", 0, lambda f, p: f.median(p, "alone", "p50_us")),
    ("64 B", "p99 us", 0, lambda f, p: f.median(p, "alone", "p99_us")),
    ("p99 at", "1 Gb/s", 0, lambda f, p: f.median(p, "held", "p99_us")),
    ("p99 at", "bulk", 0, lambda f, p: f.median(p, "bulk", "p99_us")),
    ("open/s", "1", 0, lambda f, p: f.median(p, "opens_1", "opens_per_s")),
    ("open/s", "16", 0, lambda f, p: f.median(p, "opens_16", "opens_per_s")),
    ("KiB of", "1,000", 1, lambda f, p: f.idle(p, "kib_per_stream", str(IDLE[0]))),
    ("KiB of", "10,000", 1, lambda f, p: f.idle(p, "kib_per_stream", str(IDLE[1]))),
    ("idle", "CPU %", 2, lambda f, p: f.idle(p, "cpu_percent")),
    ("x CPU", f"{BUSY_BESIDE:,}", 2, lambda f, p: f.ratio(p, p, "beside_idle", "cpu_s_per_gb",
                                                        under_path=("streams_1", "cpu_s_per_gb"))),
]
LEGEND = f"""\
Medians. CPU-s/GB: both proxies, not the load generator. Round trips of 64 bytes: alone, beside a bulk stream held to
1 Gbit/s, beside one that nothing holds. open/s: one at a time, {OPENERS[1]} at once. KiB: resident, for each idle stream,
both ends together, with {IDLE[0]:,} and {IDLE[1]:,}. idle CPU: of {IDLE[0]:,} idle streams, per cent of one core.
x CPU: CPU-s/GB of one stream beside {BUSY_BESIDE:,} idle ones, of that without."""


def _cell(value: Optional[float], digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def table(result: dict) -> str:
    figures = Figures(result)
    lines = [f"{'':<19}" + "".join(f"{column[row]:>7}" for column in COLUMNS) for row in (0, 1)]
    for name in result["peers"]:
        lines.append(f"{name:<19}" + "".join(f"{_cell(what(figures, name), digits):>7}" for _, _, digits, what in COLUMNS))
    return "\n".join(lines)


def bars(result: dict) -> list[tuple[str, float, str, bool]]:
    """(what, measured, limit, is it met) of everything that was measured."""
    found: list[tuple[str, float, str, bool]] = []

    def at_least(what: str, value: Optional[float], limit: float) -> None:
        if value is not None:
            found.append((what, value, f">= {limit:g}", value >= limit))

    def at_most(what: str, value: Optional[float], limit: float) -> None:
        if value is not None:
            found.append((what, value, f"<= {limit:g}", value <= limit))

    figures, ours = Figures(result), Culvert.name
    _throughput_bars(figures, [p for p in result["peers"] if p not in NO_RIVALS], at_least, at_most)
    at_least("slowest/fastest of 11 streams", figures.median(ours, "streams_11", "share"), BARS["share"])
    at_most("round trip p50, of the bare TLS relay's", figures.ratio(ours, REFERENCE, "alone", "p50_us"), BARS["p50"])
    at_most("round trip p99 beside a held stream, of that alone",
            figures.ratio(ours, ours, "held", "p99_us", under_path=("alone", "p99_us")), BARS["held_p99"])
    at_most("round trip p99 beside bulk, of OpenSSH's", figures.ratio(ours, Ssh.name, "bulk", "p99_us"), 1)
    for count in OPENERS:
        at_least(f"new streams/s, {count} at once, of OpenSSH's",
                 figures.ratio(ours, Ssh.name, f"opens_{count}", "opens_per_s"), BARS["opens"])
    for streams in IDLE:
        for end, kib in zip(("agent", "gateway"), figures.idle(ours, "ends", str(streams)) or []):
            at_most(f"{end}: KiB for each of {streams:,} idle streams", kib, BARS["idle_kib"])
    at_most(f"CPU of {IDLE[0]:,} idle streams, per cent of a core, both ends", figures.idle(ours, "cpu_percent"),
            BARS["idle_cpu_percent"])
    at_most(f"CPU-s/GB beside {BUSY_BESIDE:,} idle streams, of that without",
            figures.ratio(ours, ours, "beside_idle", "cpu_s_per_gb", under_path=("streams_1", "cpu_s_per_gb")),
            BARS["beside_idle"])
    if "sites" in result:
        _site_bars(result["sites"], at_least)
    for end in ("agent", "gateway") if "peak" in result else ():
        at_most(f"{end}: peak MiB in a transfer of {result['peak']['gib']:g} GiB", result["peak"][end],
                round(BARS["fixed_mib"] + session_memory_mib()))
    return found


def _throughput_bars(figures: Figures, rivals: list[str], at_least, at_most) -> None:
    ours = Culvert.name
    for streams in (1, 11):
        key, load = f"streams_{streams}", f"{streams} stream{'s' if streams > 1 else ''}"
        at_least(f"throughput, {load}, of the bare TLS relay's", figures.ratio(ours, REFERENCE, key, "gb_per_s"),
                 BARS["throughput"])
        at_most(f"CPU-s/GB, {load}, of the bare TLS relay's", figures.ratio(ours, REFERENCE, key, "cpu_s_per_gb"), BARS["cpu"])
        fastest = max((p for p in rivals if figures.values(p, key, "gb_per_s")),
                      key=lambda p: figures.median(p, key, "gb_per_s"), default=None)
        cheapest = min((p for p in rivals if figures.values(p, key, "gb_per_s")),
                       key=lambda p: figures.median(p, key, "cpu_s_per_gb"), default=None)
        if fastest and cheapest:
            at_least(f"throughput, {load}, of the fastest peer's ({fastest})", figures.ratio(ours, fastest, key, "gb_per_s"), 1)
            at_most(f"CPU-s/GB, {load}, of the cheapest peer's ({cheapest})",
                    figures.ratio(ours, cheapest, key, "cpu_s_per_gb"), 1)


def _site_medians(sites: dict) -> dict:
    rounds = sites["rounds"]
    return {"ratio": statistics.median(r["all"]["gb_per_s"] / r["one"]["gb_per_s"] for r in rounds),
            "gateway": statistics.median(r["all"]["gateway_cpu_s_per_gb"] / r["one"]["gateway_cpu_s_per_gb"] for r in rounds),
            "jain": statistics.median(r["share"]["jain"] for r in rounds),
            "share": statistics.median(r["share"]["slowest_of_fastest"] for r in rounds)}


def _site_bars(sites: dict, at_least) -> None:
    medians = _site_medians(sites)
    at_least(f"throughput of {sites['sites']} sites of one session each, of one session's", medians["ratio"], BARS["sites"])
    at_least(f"Jain's index of {sites['sites']} sites", medians["jain"], BARS["sites_jain"])


def sites_line(result: dict) -> str:
    sites = result["sites"]
    medians = _site_medians(sites)
    return (f"{sites['sites']} sites of one session and stream each, as many agents on the same cores:\n"
            f"{medians['ratio']:.2f} of one session's throughput, {medians['gateway']:.2f} of its CPU-s/GB at the gateway; "
            f"Jain's index {medians['jain']:.4f},\nslowest/fastest {medians['share']:.2f}. Resident: gateway "
            f"{sites['gateway_kib'] / 1024:.0f} MiB, each agent {sites['agent_kib'] / 1024:.1f} MiB.")


def session_memory_mib() -> float:
    """The default of [limits] session_memory: an eighth of the RAM, between 64 and 512 MiB."""
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return min(max(total_kib / 1024 / 8, 64), 512)


def verdicts(result: dict) -> str:
    return "\n".join(f"{'met   ' if is_met else 'MISSED'}  {what}: {measured:.2f} ({limit})"
                     for what, measured, limit, is_met in result["bars"])


def noise(result: dict) -> str:
    loads = [load for load in result["load"] if load is not None]
    return (f"Load average before the run {loads[0]:.1f}; it is of the run itself afterwards." if loads[0] <= 0.5 else
            f"The machine was busy (load average {loads[0]:.1f} before the run): a peer with more threads won more of the cores, "
            "so GB/s and\nround trips say little; CPU-s/GB, memory and ratios within a round hold better.")
