#!/usr/bin/env python3
"""./dev bench fair: many bulk streams and one ping-pong of 200 bytes over the emulated line, Culvert beside the others.

Who asks a small question must not wait behind those who move much, and those who move much get equal shares, or shares
by their weights. With --deaf instead: streams whose target has stopped reading cost the others nothing. bench/README.md says
how to read it.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from wan_peers import BIN, NEAR_PORT, PEERS, Culvert, LocalPair, PairError, Sampler, prove_line, wait_until
from deaf_streams import TARGET_PORT, DeafStreams, set_session_memory
from honesty import BUFFERS, line_load
from local import machine, say
from wan_line import LineShape, WanLine

BARS = {"ping_over_rtt_ms": 15, "jain": 0.99, "weights": 0.03, "beside_deaf": 0.9}
WEIGHTS = (1, 2, 4)
DEAF, DEAF_PORT = 256, NEAR_PORT + 20
SESSION_MIB = 64  # The default of a machine with 512 MiB, so that it is full soon: a deaf stream asks for 256 KiB.
FILLED = 0.4  # Of it, at least, or deaf streams have not shown anything; windows of the others have a good quarter.


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  ./dev bench fair --congestion cubic\n  ./dev bench fair --deaf              # about four minutes")
    parser.add_argument("--streams", type=int, default=63, help="that move bulk (default 63)")
    parser.add_argument("--rtt", type=float, default=40, help="ms (default 40)")
    parser.add_argument("--rate", type=float, default=100, help="Mbit/s (default 100)")
    parser.add_argument("--loss", type=float, default=0, help="per cent (default 0)")
    parser.add_argument("--congestion", choices=("cubic", "bbr"), default="bbr",
                        help="default bbr")
    parser.add_argument("--peers", choices=list(PEERS), nargs="+", default=list(PEERS))
    parser.add_argument("--seconds", type=int, default=15, help="measured (default 15)")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds before (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="of the losses (default 1)")
    parser.add_argument("--deaf", type=int, nargs="?", const=DEAF, metavar="N", help="instead: Culvert's bulk with and without N "
                        f"streams whose target has stopped reading (default {DEAF}, which fill its session_memory of "
                        f"{SESSION_MIB} MiB)")
    parser.add_argument("--rounds", type=int, default=3, help="of --deaf (default 3)")
    parser.add_argument("--quick", action="store_true", help="do not check the line against theory first")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


def has_weights() -> bool:
    return "--weight" in LocalPair.command(BIN / "culvert-agent", "forward", "add", "--help")


def measure_weights(load, culvert: Culvert, arguments: argparse.Namespace) -> list[float]:
    """Rates of streams on forwards of weight 1, 2 and 4, seven each, divided by weight and by their mean: 1 is fair."""
    ports = []
    for number, weight in enumerate(WEIGHTS):
        culvert.gateway.admin("target", "add", "bench", f"weight-{weight}", f"127.0.0.1:{load.port}")
        ports.append(NEAR_PORT + 10 + number)
        culvert.agent.admin("forward", "add", f"weight-{weight}", "--port", ports[-1], "--weight", weight)
    told = load.run("steady", ports, streams=7 * len(WEIGHTS), seconds=arguments.seconds,
                    warm_up_ms=int(arguments.warm_up * 1000))["streams"]
    shares = [sum(told[number::len(WEIGHTS)]) / weight for number, weight in enumerate(WEIGHTS)]
    return [share / statistics.mean(shares) for share in shares]


def wait_until_deaf(culvert: Culvert) -> None:
    """Until nothing moves any more: kernels and Culvert have taken what they take of streams whose target does not read."""
    sent = 0

    def stands() -> bool:
        nonlocal sent
        before, sent = sent, sum(lane["sent_bytes"] for lane in culvert.agent.status()["lanes"])
        time.sleep(1)
        return sent - before < 64 * 1024

    wait_until("streams that stand still", stands, 120)


def beside_deaf(load, culvert: Culvert, deaf: int, arguments: argparse.Namespace) -> dict:
    """Bulk and the ping-pong, which begin when so many deaf streams stand still."""
    with DeafStreams(culvert.line, load, DEAF_PORT, deaf) if deaf else contextlib.nullcontext():
        if deaf:
            wait_until("all deaf streams", lambda: culvert.agent.status()["streams"]["open"] == deaf)
            wait_until_deaf(culvert)
        with Sampler(lambda: culvert.agent.status()["backlog_bytes"]) as held:
            told = load.run("steady", [culvert.to], streams=arguments.streams, seconds=arguments.seconds,
                            warm_up_ms=int(arguments.warm_up * 1000), ping=culvert.to)
    wait_until("the end of all streams", lambda: culvert.agent.status()["streams"]["open"] == 0)
    return told | {"held_mib": held.mean(told["from_us"], told["to_us"]) / 2**20}


def measure_deaf(line: WanLine, load, folder: Path, arguments: argparse.Namespace) -> list[dict]:
    """Each round with and without, one time the one first and one time the other."""
    culvert, rounds = Culvert(line, load, folder / "culvert"), []
    try:
        set_session_memory(culvert, SESSION_MIB)
        culvert.gateway.admin("target", "add", "bench", "deaf", f"127.0.0.1:{TARGET_PORT}")
        culvert.agent.forward("deaf", DEAF_PORT)
        for number in range(arguments.rounds):
            rounds.append({})
            for name in ("without", "with") if number % 2 == 0 else ("with", "without"):
                say(f"round {number + 1} of {arguments.rounds}, {name} deaf streams")
                rounds[-1][name] = beside_deaf(load, culvert, arguments.deaf if name == "with" else 0, arguments)
    finally:
        culvert.stop()
    return rounds


def measure(line: WanLine, shape: LineShape, folder: Path, arguments: argparse.Namespace, result: dict) -> None:
    line.set_kernel(BUFFERS)
    line.shape(shape)
    load = line_load(line, folder)
    try:
        if arguments.deaf:
            result["deaf"] = measure_deaf(line, load, folder, arguments)
            return
        for key in arguments.peers:
            say(f"{shape}: {PEERS[key].name}")
            peer = PEERS[key](line, load, folder / key)
            try:
                with Sampler(peer.lanes) as lanes:
                    told = load.run("steady", [peer.to], streams=arguments.streams, seconds=arguments.seconds,
                                    warm_up_ms=int(arguments.warm_up * 1000), ping=peer.to)
                told["lanes"] = lanes.mean(told["from_us"], told["to_us"]) if isinstance(peer, Culvert) else None
                result["peers"][peer.name] = told
                if isinstance(peer, Culvert) and has_weights():
                    say(f"{shape}: weights")
                    result["weights"] = measure_weights(load, peer, arguments)
            finally:
                peer.stop()
    finally:
        load.stop()


def report_deaf(result: dict, shape: LineShape, arguments: argparse.Namespace) -> bool:
    def median(name: str, key: str) -> float:
        return statistics.median(one[name][key] for one in result["deaf"])

    print(f"\n{shape}, queue 1 BDP; Culvert with {SESSION_MIB} MiB of session_memory, {arguments.streams} streams of bulk and "
          f"one ping-pong of 200 bytes,\nwith and without {arguments.deaf} streams whose target has stopped reading; medians of "
          f"{arguments.rounds} rounds of {arguments.seconds} s, seed {arguments.seed}")
    print(f"{'':<12}{'Mbit/s':>9}{'ping p50':>11}{'p99':>11}{'backlog':>13}")
    for name in ("without", "with"):
        print(f"{name:<12}{median(name, 'mbit_per_s'):>9.1f}{median(name, 'ping_p50_ms'):>8.1f} ms"
              f"{median(name, 'ping_p99_ms'):>8.1f} ms{median(name, 'held_mib'):>9.1f} MiB")
    ratio, filled = median("with", "mbit_per_s") / median("without", "mbit_per_s"), FILLED * SESSION_MIB
    held = median("with", "held_mib") - median("without", "held_mib")
    return show_bars(result, [
        (f"bulk beside deaf streams {ratio:.3f} of that without", f">= {BARS['beside_deaf']}", ratio >= BARS["beside_deaf"]),
        (f"deaf streams hold {held:.1f} MiB", f">= {filled:g} MiB", held >= filled)])


def show_bars(result: dict, bars: list[tuple[str, str, bool]]) -> bool:
    for what, limit, is_met in bars:
        print(f"{'met   ' if is_met else 'MISSED'}  {what} ({limit})")
    result["bars"] = bars
    return all(is_met for *_, is_met in bars)


def report(result: dict, shape: LineShape, arguments: argparse.Namespace) -> bool:
    print(f"\n{shape}, queue 1 BDP; {arguments.streams} streams of bulk and one ping-pong of 200 bytes, "
          f"{arguments.seconds} s, seed {arguments.seed}")
    print(f"{'':<12}{'Mbit/s':>9}{'Jain':>8}{'slow/fast':>11}{'ping p50':>11}{'p99':>11}{'lanes':>7}")
    for name, told in result["peers"].items():
        lanes = "-" if told["lanes"] is None else f"{told['lanes']:.3g}"
        print(f"{name:<12}{told['mbit_per_s']:>9.1f}{told['jain']:>8.4f}{min(told['streams']) / max(told['streams']):>11.2f}"
              f"{told['ping_p50_ms']:>8.1f} ms{told['ping_p99_ms']:>8.1f} ms{lanes:>7}")
    if Culvert.name not in result["peers"]:
        return True
    ours, most = result["peers"][Culvert.name], arguments.rtt + BARS["ping_over_rtt_ms"]
    bars = [(f"ping-pong p99 {ours['ping_p99_ms']:.1f} ms", f"<= {most:g} ms", ours["ping_p99_ms"] <= most),
            (f"Jain's index {ours['jain']:.4f}", f">= {BARS['jain']}", ours["jain"] >= BARS["jain"])]
    if "weights" in result:
        worst = max(abs(share - 1) for share in result["weights"])
        bars.append((f"weights 1:2:4 off by {worst * 100:.1f} %", f"<= {BARS['weights'] * 100:g} %", worst <= BARS["weights"]))
    else:
        print("weights 1:2:4 were left out: this culvert-agent has no forward add --weight")
    return show_bars(result, bars)


def main() -> int:
    arguments = parse_arguments()
    shape = LineShape(arguments.rtt, arguments.rate, arguments.loss / 100, arguments.congestion)
    result = {"machine": machine(), "kernel": BUFFERS, "shape": vars(shape), "seed": arguments.seed, "peers": {}}
    with WanLine(arguments.seed) as line, tempfile.TemporaryDirectory(prefix="culvert-bench-",
                                                                      ignore_cleanup_errors=True) as name:
        folder = Path(name)
        honesty = prove_line(line, folder, arguments.quick, [shape])
        result["honesty"] = honesty.findings
        if honesty.faults:
            return 1
        measure(line, shape, folder, arguments, result)
    met = (report_deaf if arguments.deaf else report)(result, shape, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except PairError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
