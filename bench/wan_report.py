"""What bench wan says: the table of a cell, the bars, and bench/WAN.md."""
from __future__ import annotations

import textwrap
from pathlib import Path
from typing import NamedTuple, Optional

from wan_file import PROGRAMS, all_runs, has_run, in_order, median, runs_of, streams_of
from wan_peers import PEERS, Culvert, Plain
from wan_plan import MOST_LANES, Settings, cells_of, short_cells
from wan_runs import LATE_US, was_disturbed
from wan_line import LineShape

BARS = {"of_link": 0.9, "of_plain_times_lanes": 0.9, "never_below_plain": 0.97, "steady_s": 2, "steady_round_trips": 10,
        "runs": 5, "seconds": 30, "warm_up": 30}
NAMES = [kind.name for kind in PEERS.values()]


class Bar(NamedTuple):
    what: str
    measured: float
    bound: float  # The least Mbit/s, or the most seconds.
    unit: str = "Mbit/s"

    @property
    def is_met(self) -> bool:
        return self.measured <= self.bound if self.unit == "s" else self.measured >= self.bound

    def __str__(self) -> str:
        sign = "<=" if self.unit == "s" else ">="
        return f"{'met   ' if self.is_met else 'MISSED'}  {self.what}: {self.measured:.1f} ({sign} {self.bound:.1f} {self.unit})"


def print_cell(cell: dict) -> None:
    shape, streams = LineShape(**cell["shape"]), streams_of(cell)
    counts = sorted({len(runs_of(cell, n, peer)) for n in streams for peer in NAMES} - {0}, reverse=True)
    print(f"\n{shape}, queue {cell['queue_bytes'] / 1e6:.2f} MB, median of {' or '.join(map(str, counts))}")
    print(f"  {'Mbit/s':<12}" + "".join(f"{f'{n} stream' + 's' * (n > 1):>14}{'lanes':>7}{'x plain':>9}{'to 90 %':>9}"
                                        for n in streams))
    for peer in (name for name in NAMES if any(runs_of(cell, n, name) for n in streams)):
        text = f"  {peer:<12}"
        for n in streams:
            speed = median(cell, n, peer)
            if speed is None:
                text += f"{'-':>14}{'-':>7}{'-':>9}{'-':>9}"
                continue
            text += (f"{speed:>14.1f}{median(cell, n, peer, 'lanes'):>7.3g}{beside_plain(cell, n, peer):>9}"
                     f"{median(cell, n, peer, 'ramp_s'):>7.1f} s")
        print(text, flush=True)


def beside_plain(cell: dict, streams: int, peer: str) -> str:
    speed, plain = median(cell, streams, peer), median(cell, streams, Plain.name)
    return "-" if speed is None or plain is None else f"{speed / max(plain, 0.01):.2f}"


def unfinished(cell: dict, settings: Settings) -> Optional[str]:
    """Which runs the bars of this cell still lack; None when they have them all."""
    wanted = settings.runs_of(LineShape(**cell["shape"]), "plain")
    lacking = [f"{peer} {len(runs_of(cell, 1, peer))} of {wanted} runs" for peer in (Plain.name, Culvert.name)
               if not all(has_run(cell, 1, peer, number) for number in range(wanted))]
    return ", ".join(lacking) or None


def bars_of(cell: dict) -> list[Bar]:
    """The bars of one stream in one finished cell. How soon it is steady is asked where one lane is enough: others are
    tried one step after the other."""
    shape = LineShape(**cell["shape"])
    ours, plain, link = median(cell, 1, Culvert.name), median(cell, 1, Plain.name), BARS["of_link"] * shape.rate_mbit
    found = [Bar(f"{shape}: not below plain TCP", ours, BARS["never_below_plain"] * plain)]
    if shape.congestion == "bbr" or shape.loss == 0:
        soon = max(BARS["steady_s"], BARS["steady_round_trips"] * shape.rtt_ms / 1000)
        found += [Bar(f"{shape}: fills the link", ours, link),
                  Bar(f"{shape}: at 90 % of its steady rate", median(cell, 1, Culvert.name, "ramp_s"), soon, "s")]
    else:
        lanes = min(median(cell, 1, Culvert.name, "lanes"), MOST_LANES)
        found.append(Bar(f"{shape}: {lanes:.3g} lane{'s' if lanes != 1 else ''} as so many connections", ours,
                         min(BARS["of_plain_times_lanes"] * lanes * plain, link)))
    return found


def judge(data: dict, settings: Settings) -> bool:
    """Prints every bar, keeps them in `data`; False when one is missed or open."""
    data["bars"], is_whole = [], True
    print()
    for cell in in_order(data["cells"]):
        if not any(runs_of(cell, 1, name) for name in (Plain.name, Culvert.name)):
            continue
        lacking = unfinished(cell, settings)
        if lacking:
            print(f"open    {LineShape(**cell['shape'])}: {lacking}")
            is_whole = False
            continue
        for bar in bars_of(cell):
            data["bars"].append([bar.what, bar.measured, bar.bound, bar.is_met])
            print(bar)
    if data["bars"] and is_indication(settings):
        print(f"Shorter than the bars want (cells with loss: {BARS['runs']} runs of {BARS['seconds']} s after "
              f"{BARS['warm_up']} s, for lanes still grow and young ones are fast until their first loss): an indication.")
    return is_whole and all(is_met for *_, is_met in data["bars"])


def is_indication(settings: Settings) -> bool:
    return any(getattr(settings, key) < BARS[key] for key in ("runs", "seconds", "warm_up"))


def crowd_words(data: dict) -> str:
    """What running side by side did to the figures."""
    runs = [run for run in all_runs(data["cells"]) if "beside" in run]
    crowded, again = [run for run in runs if run["beside"]], [run for run in runs if "again" in run]
    if not runs:
        return ""
    late = sum(was_disturbed(run) for run in runs)
    return (f"{len(crowded)} of {len(runs)} runs were made beside others, at most "
            f"{max((run['beside'] for run in crowded), default=0)} of them; {len(again)} were late, short of processor or failed "
            f"there and were measured again alone. {late or 'None'} of the figures "
            f"{'is' if late == 1 else 'are'} of a line later than {LATE_US} us on average or of a machine with less than a "
            f"tenth idle; the latest was late by {max(run['late_us'] for run in runs):.0f} us on average.")


# ---- bench/WAN.md

HEADING = ("RTT ms", "loss %", "Mbit/s", "on", "streams", *NAMES, "lanes", "x plain", "to 90 %", "bar")
LEGEND = (
    "Mbit/s of each, medians. Lanes are Culvert's, x plain is Culvert beside plain TCP with as many streams, to 90 % the "
    "seconds until Culvert runs at 90 % of its own steady rate and stays there. The bar is for one stream: met or missed, the "
    "Mbit/s that it takes, and how soon it has to be steady where one lane is enough (BBR, or no loss). With loss on CUBIC that "
    "is for information: lanes are added by what they bring, and 32 of them take about 20 s (docs/adr/0005-lanes.md).")
SIDE_BY_SIDE = (
    "Side by side, as `--full` measures: each run of each peer has a line of its own, in whatever wave has room; lines of one "
    "cell and run have the same seed, so that all peers meet the same losses.")
ONCE = "In cells with loss plain TCP and Culvert are measured {} times, the others, which no bar is about, {}."


def _row(cell: dict, streams: int, settings: Settings) -> list[str]:
    shape = LineShape(**cell["shape"])
    speeds = [median(cell, streams, peer) for peer in NAMES]
    lanes, ramp = (median(cell, streams, Culvert.name, key) for key in ("lanes", "ramp_s"))
    return [f"{shape.rtt_ms:g}", f"{shape.loss * 100:g}", f"{shape.rate_mbit:g}", shape.congestion, str(streams),
            *("-" if speed is None else f"{speed:.1f}" for speed in speeds), "-" if lanes is None else f"{lanes:.3g}",
            beside_plain(cell, streams, Culvert.name), "-" if ramp is None else f"{ramp:.1f} s",
            _verdict(cell, settings) if streams == 1 else "-"]


def _verdict(cell: dict, settings: Settings) -> str:
    if unfinished(cell, settings):
        return "open"
    bars = bars_of(cell)
    least = max(bar.bound for bar in bars if bar.unit != "s")
    soon = [f"{bar.bound:g} s" for bar in bars if bar.unit == "s"]
    return ", ".join(["met" if all(bar.is_met for bar in bars) else "MISSED", f"{least:.1f}", *soon])


def _table(data: dict, settings: Settings) -> str:
    rows = [list(HEADING)]
    for cell in in_order(data["cells"]):
        rows += [_row(cell, streams, settings) for streams in streams_of(cell)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADING))]
    lines = ["| " + " | ".join(text.rjust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(lines)


def _fill(text: str, first: str = "- ") -> str:
    return textwrap.fill(text, 118, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def how_words(settings: Settings) -> str:
    once = "once" if settings.other_runs == 1 else f"{settings.other_runs} times"
    words = [f"`./dev bench wan` alone prints {len(short_cells())} cells; the {len(cells_of(*4 * [None]))} of the whole matrix "
             "need `--full`."]
    if settings.fresh:
        words.append(SIDE_BY_SIDE)
    if settings.other_runs != settings.runs:
        words.append(ONCE.format(settings.runs, once))
    return " ".join(words)


def write_results(file: Path, data: dict, settings: Settings) -> None:
    """Figures with everything they have to be read with, as bench/RESULTS.md of bench local."""
    machine = data["machine"]
    dates = [piece["date"] for piece in data["pieces"]]
    met, lacking = sum(is_met for *_, is_met in data["bars"]), sum(bool(unfinished(cell, settings)) for cell in data["cells"])
    facts = [
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}, Culvert {machine['culvert']}",
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}", machine["openssl"],
        ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        "SHA-256: " + ", ".join(f"{name} {data['identity'][name][:12]}…" for name in PROGRAMS),
        f"cells with loss: {settings.runs} runs of Culvert and plain TCP, {settings.other_runs} of the others; the rest one; "
        f"{settings.seconds} s after {settings.warm_up:g} s; seed {settings.seed}; "
        + "; ".join(f"{key} = {value}" for key, value in data["kernel"].items())]
    parts = ["# Results of `./dev bench wan`",
             "Written by `./dev bench wan --results`; [README.md](README.md) says how it is measured.",
             _fill(how_words(settings), ""),
             "\n".join(_fill(fact) for fact in facts),
             "\n".join(_fill(f"`{piece['command']}`: " + "; ".join(piece["honesty"])) for piece in data["pieces"]),
             _fill(crowd_words(data), ""),
             _fill(LEGEND, ""), _table(data, settings),
             f"{met} of {len(data['bars'])} bars met" + (f"; {lacking} cells lack runs for theirs" if lacking else "") + "."]
    if is_indication(settings):
        parts.append("Shorter than the bars want: an indication.")
    file.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
