#!/usr/bin/env python3
"""./dev bench local: Culvert against a bare TLS 1.3 relay pair, a bare relay pair without TLS, and no relay at all.

Everything in one run on loopback, with the same source and sink. The peers take turns within a round, and ratios are
formed within a round, so that what else the machine does hits all of them. bench/README.md says how to read it.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
from load import Load  # noqa: E402
from local_pair import BIN, LocalPair, PairError, Process, free_port, wait_until  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
STREAMS = (1, 11)
BARS = {"throughput": 0.8, "cpu": 1.3, "idle_kib": 16.0, "fixed_mib": 64}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kib(pid: int, file: str, key: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise PairError(f"/proc/{pid}/{file} has no {key}")


def own_memory_kib(pid: int) -> int:
    """Without pages of files, whose share depends on who else runs the same libraries at that moment."""
    return memory_kib(pid, "smaps_rollup", "Pss_Anon") + memory_kib(pid, "smaps_rollup", "Pss_Shmem")


def settled(measure, seconds: float = 15) -> int:
    """The value once it has stayed within 0.5 % for three seconds: streams give memory back after a second or so."""
    deadline, last, calm = time.monotonic() + seconds, measure(), 0
    while calm < 3 and time.monotonic() < deadline:
        time.sleep(1)
        now = measure()
        calm = calm + 1 if abs(now - last) <= max(16, last // 200) else 0
        last = now
    return last


class Direct:
    name = "direct"

    def __init__(self, load: Load):
        self.ports, self.processes = [load.port], []

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


class Relays(Direct):
    def __init__(self, load: Load, folder: Path, plain: bool):
        super().__init__(load)
        self.name = "bare relay, no TLS" if plain else "bare TLS relay"
        options = ["--plain"] if plain else []
        port = load.port
        for role in ("server", "client"):
            listen = free_port()
            command = [str(BIN / "bench-relay"), "--role", role, "--listen", str(listen), "--to", str(port), *options]
            self.processes.append(Process(command, folder / f"relay-{role}.log", "ready"))
            port = listen
        self.ports = [port]


class Pair(LocalPair):
    """As the demo's, without the line between, which is no match for the programs."""

    def start_new(self) -> None:
        port = free_port()
        self.command(BIN / "culvert-gateway", "init", "--data", self.gateway_dir, "--hostname", "localhost",
                     "--listen", f"127.0.0.1:{port}")
        self.start_gateway()
        self.provider("org", "add", "bench")
        joining_string = self.provider("join-token", "bench", "here").strip()
        self.command(BIN / "culvert-agent", "join", joining_string, "--data", self.agent_dir)
        self.start_agent()
        wait_until("a session between agent and gateway", lambda: self.status()["session"]["state"] == "up")


class Culvert(Direct):
    name = "Culvert"

    def __init__(self, load: Load, folder: Path):
        super().__init__(load)
        self.pair = Pair(folder)
        folder.mkdir()
        try:
            self.pair.start_new()
            self.ports = []
            for i in range(max(STREAMS)):
                port = free_port()
                self.pair.provider("target", "add", "bench", f"sink-{i}", f"127.0.0.1:{load.port}")
                self.pair.customer("forward", "add", f"sink-{i}", "--port", port)
                self.ports.append(port)
        except BaseException:
            self.pair.stop()
            raise
        self.processes = [self.pair.agent, self.pair.gateway]

    def stop(self) -> None:
        self.pair.stop()


def measure_throughput(load: Load, peer, streams: int, gib: float) -> dict:
    pids = [p.process.pid for p in peer.processes]
    before = [cpu_seconds(pid) for pid in pids]
    result = load.run("throughput", peer.ports[:streams], streams=streams, bytes=int(gib * 2**30 / streams))
    result["cpu_s_per_gb"] = sum(cpu_seconds(pid) - b for pid, b in zip(pids, before)) / result["gb"]
    return result


def measure_round(load: Load, peers: list, gib: float, seconds: int) -> dict:
    round_ = {peer.name: {} for peer in peers}
    for streams in STREAMS:
        for peer in peers:
            round_[peer.name][f"streams_{streams}"] = measure_throughput(load, peer, streams, gib)
    for peer in peers:
        round_[peer.name]["pingpong"] = load.run("pingpong", peer.ports[:1], seconds=seconds)
    for peer in peers:
        round_[peer.name]["opens"] = load.run("opens", peer.ports[:1], seconds=seconds, streams=4)
    return round_


def measure_idle(load: Load, peer, streams: int) -> dict:
    pids = [p.process.pid for p in peer.processes]
    before = [settled(lambda pid=pid: own_memory_kib(pid)) for pid in pids]
    command = load.command("idle", peer.ports[:1], streams=streams)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as idle:
        if not idle.stdout.readline().startswith("ready"):
            raise PairError(f"bench-load could not hold {streams} idle streams")
        after = [settled(lambda pid=pid: own_memory_kib(pid)) for pid in pids]
        idle.stdin.close()
    near, far = [(a - b) / streams for a, b in zip(after, before)]
    return {"streams": streams, "agent_kib_per_stream": near, "gateway_kib_per_stream": far}


def measure_large(load: Load, peer, gib: float) -> dict:
    pids = [p.process.pid for p in peer.processes]
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # Resets VmHWM.
    result = load.run("throughput", peer.ports[:1], streams=1, bytes=int(gib * 2**30))
    peaks = [memory_kib(pid, "status", "VmHWM") / 1024 for pid in pids]
    return {"gib": gib, "gb_per_s": result["gb_per_s"], "agent_peak_mib": peaks[0], "gateway_peak_mib": peaks[1]}


def session_memory_mib() -> float:
    """The default of [limits] session_memory: an eighth of the RAM, between 64 and 512 MiB."""
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return min(max(total_kib / 1024 / 8, 64), 512)


def machine() -> dict:
    model = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False).stdout.strip()
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {"cpu": model[0] if model else "unknown", "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "openssl": openssl, "congestion_control": congestion, "load_before": os.getloadavg()[0]}


def median(rounds: list, peer: str, *path: str) -> float:
    values = []
    for round_ in rounds:
        value = round_[peer]
        for key in path:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def ratio(rounds: list, over: str, under: str, *path: str) -> float:
    """Median of the ratios within each round."""
    return statistics.median(median([r], over, *path) / median([r], under, *path) for r in rounds)


def print_table(rounds: list, peers: list) -> None:
    print(f"\n{'median of ' + str(len(rounds)) + ' rounds':<22}{'1 stream':>10}{'11 streams':>12}{'CPU-s/GB':>10}{'of 11':>8}"
          f"{'slow/fast':>11}{'64 B p50':>10}{'p99':>10}{'opens/s':>9}")
    for name in peers:
        fairness = statistics.median(r[name]["streams_11"]["slowest_stream_gb_per_s"] /
                                     r[name]["streams_11"]["fastest_stream_gb_per_s"] for r in rounds)
        print(f"{name:<22}{median(rounds, name, 'streams_1', 'gb_per_s'):>10.3f}"
              f"{median(rounds, name, 'streams_11', 'gb_per_s'):>12.3f}"
              f"{median(rounds, name, 'streams_1', 'cpu_s_per_gb'):>10.3f}"
              f"{median(rounds, name, 'streams_11', 'cpu_s_per_gb'):>8.3f}{fairness:>11.2f}"
              f"{median(rounds, name, 'pingpong', 'p50_us'):>8.0f}us{median(rounds, name, 'pingpong', 'p99_us'):>8.0f}us"
              f"{median(rounds, name, 'opens', 'opens_per_s'):>9.0f}")
    print("GB/s; CPU-seconds of both relay processes together, load generator not counted.")


def bars(rounds: list, idle: dict, large: dict) -> list:
    """(what, measured, limit, is it met)"""
    found = []
    for streams in STREAMS:
        key = f"streams_{streams}"
        speed = ratio(rounds, Culvert.name, "bare TLS relay", key, "gb_per_s")
        load = f"{streams} stream{'s' if streams > 1 else ''}"
        found.append((f"throughput, {load}, of the bare TLS relay's", speed, f">= {BARS['throughput']}",
                      speed >= BARS["throughput"]))
        cpu = ratio(rounds, Culvert.name, "bare TLS relay", key, "cpu_s_per_gb")
        found.append((f"CPU-s/GB, {load}, of the bare TLS relay's", cpu, f"<= {BARS['cpu']}", cpu <= BARS["cpu"]))
    ceiling = BARS["fixed_mib"] + session_memory_mib()
    for end in ("agent", "gateway"):
        per_stream = idle[f"{end}_kib_per_stream"]
        found.append((f"{end}: KiB for each of {idle['streams']} idle streams", per_stream, f"<= {BARS['idle_kib']:g}",
                      per_stream <= BARS["idle_kib"]))
        peak = large[f"{end}_peak_mib"]
        found.append((f"{end}: peak MiB in a transfer of {large['gib']:g} GiB", peak, f"<= {ceiling:.0f}", peak <= ceiling))
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog="example: ./dev bench local --rounds 5 --json result.json")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all peers (default 3)")
    parser.add_argument("--gib", type=float, default=2.0, help="GiB of each throughput measurement (default 2)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of each latency measurement (default 2)")
    parser.add_argument("--idle", type=int, default=1000, help="idle streams (default 1000)")
    parser.add_argument("--large-gib", type=float, default=10.0, help="GiB of the transfer for peak memory (default 10)")
    parser.add_argument("--peers", choices=("all", "bare"), default="all", help="bare: without Culvert, no bars")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace, folder: Path) -> dict:
    result = {"machine": machine(), "rounds": []}
    load = Load(folder)
    peers = []
    try:
        peers = [Direct(load), Relays(load, folder, plain=True), Relays(load, folder, plain=False)]
        if arguments.peers == "all":
            peers.append(Culvert(load, folder / "culvert"))
            say(f"{arguments.idle} idle streams through Culvert")
            result["idle"] = measure_idle(load, peers[-1], arguments.idle)
        for number in range(arguments.rounds):
            say(f"round {number + 1} of {arguments.rounds}")
            turn = number % len(peers)
            result["rounds"].append(measure_round(load, peers[turn:] + peers[:turn], arguments.gib, arguments.seconds))
        if arguments.peers == "all":
            say(f"{arguments.large_gib:g} GiB through Culvert")
            result["large"] = measure_large(load, peers[-1], arguments.large_gib)
    finally:
        for peer in reversed(peers):
            peer.stop()
        load.stop()
    print_table(result["rounds"], [peer.name for peer in peers])
    return result


def main() -> int:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="culvert-bench-") as folder:
        result = measure(arguments, Path(folder))
    met = True
    if arguments.peers == "all":
        result["bars"] = bars(result["rounds"], result["idle"], result["large"])
        print()
        for what, measured, limit, is_met in result["bars"]:
            print(f"{'met   ' if is_met else 'MISSED'}  {what}: {measured:.2f} ({limit})")
            met = met and is_met
    if result["machine"]["load_before"] > 0.5:
        print(f"The machine was busy before (load {result['machine']['load_before']:.1f}): a peer with more threads won more"
              " of the cores, so throughput says little.")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PairError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
