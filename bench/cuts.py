#!/usr/bin/env python3
"""./dev bench cuts: verified streams in both directions while their lanes are killed in every way that lines have.

Counts bytes lost or repeated and streams reset (0 wanted), and how long streams stood still. bench/README.md says more.
"""
from __future__ import annotations

import argparse
import bisect
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from wan_peers import BIN, GATEWAY_PORT, Agent, Gateway, PairError, Sampler, prove_line, wait_until
from cut_kinds import BY_DEFAULT, KINDS, OUTAGES, PROXY_KINDS, VERBS, text_of
from cutting_proxy import AgentProxy
from honesty import BUFFERS, line_load
from local import machine, memory_kib, say
from verified_streams import OUTAGE_SECONDS, Streams, chunk_bytes, tick_us
from wan_line import LineShape, WanLine

ESTABLISHED = "01"  # In /proc/PID/net/tcp.
BULK_SECONDS = 20  # How long it takes to have several lanes.
BACKLOG_SECONDS = 4  # Between two looks at an agent's backlog, where they are many: each look starts a program.
BESIDE_MS = 50  # Later than this without a cut is told below the table.
RESUME_DEADLINE = 600  # Seconds; of both daemons as they are set up: after that they give up.
LOOK_AFTER, LOOK_EVERY = 4, 10  # Seconds of an outage; a lane without a received byte is dead after 2.5 s.


@dataclass
class Cut:
    kind: str
    agent: int
    at_us: int  # When it began.
    free_us: int  # When new connections succeed again.
    lanes: int
    end_us: int = 0  # When the next one may begin: a stall behind this is not this one's.


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


def sockets_of(process: Path) -> set[str]:
    found = set()
    for fd in (process / "fd").iterdir():
        try:
            found.add(os.readlink(fd))
        except FileNotFoundError:
            pass  # Closed since it was listed.
    return found


class Cutter:
    """Cuts the lanes of all agents, each in its own thread, then the whole line."""

    def __init__(self, line: WanLine, gateway: Gateway, proxies: dict[int, AgentProxy], arguments: argparse.Namespace):
        """`proxies` by the number of the agent that goes through it; none for those that go the direct way."""
        self.line, self.gateway, self.proxies, self.arguments = line, gateway, proxies, arguments
        self.cuts: list[Cut] = []
        self.errors: list[Exception] = []
        self.looks = 0  # At what the daemons say in outages.
        self.not_stalled: list[str] = []

    def flows_of(self, agent: Agent, begun_before_us: float = math.inf) -> list[int]:
        """Numbers of the agent's lanes, as whoever cuts them counts."""
        proxy = self.proxies.get(agent.number)
        flows = proxy.flows() if proxy else self.flows_on_line(agent)
        return [flow["flow"] for flow in flows if flow["begun_us"] < begun_before_us]

    def flows_on_line(self, agent: Agent) -> list[dict]:
        """Ports of the near end tell whose they are."""
        process = Path(f"/proc/{agent.process.process.pid}")
        own = sockets_of(process)
        ports = set()
        for text in (process / "net/tcp").read_text().splitlines()[1:]:
            if f":{GATEWAY_PORT:04X} {ESTABLISHED} " not in text:
                continue
            fields = text.split()  # Local and remote address as HEX:PORT, state, …, inode.
            if f"socket:[{fields[9]}]" in own:
                ports.add(int(fields[1].split(":")[1], 16))
        return [flow for flow in self.line.flows(GATEWAY_PORT) if flow["near_port"] in ports]

    def settled(self, agent: Agent) -> None:
        def whole() -> bool:
            return agent.status()["session"]["state"] == "up" and len(self.flows_of(agent)) >= 1
        wait_until(f"the session of agent {agent.number} up again", whole, 60)

    def tell(self, agent: Agent, verb: str, flows: list[int]) -> dict:
        return self.proxies.get(agent.number, self.line).tell(" ".join([verb, *map(str, flows)]))

    def strike(self, verb: str, agent: Agent, wanted: int, chance: random.Random) -> tuple[list[int], int]:
        """One lane, or all (`wanted` 0): their numbers of before and when the first was struck. A lane that ended by itself
        since it was looked up is none: then others are looked up."""
        for _ in range(20):
            wait_until("a lane to cut", lambda: bool(self.flows_of(agent)), 60)
            flows = self.flows_of(agent)
            if not flows:
                continue
            answer = self.tell(agent, verb, chance.sample(flows, min(wanted or len(flows), len(flows))))
            if answer["count"]:
                return flows, answer["at_us"]
        raise PairError(f"agent {agent.number} had no lane long enough to cut it")

    def kill(self, agent: Agent, kind: str, chance: random.Random) -> None:
        if kind == "none":
            now = monotonic_us()
            return self.wait_after(agent, Cut(kind, agent.number, now, now, len(self.flows_of(agent))))
        verb = VERBS[kind.split("_", 1)[1]]
        flows, at_us = self.strike(verb, agent, 1 if kind.startswith("one_") else 0, chance)
        free_us = at_us
        if kind.startswith("all_"):
            # A lane that was just being made when we looked is one of them as well; those made since are not.
            missed = [flow for flow in self.flows_of(agent, begun_before_us=at_us) if flow not in flows]
            if missed:
                free_us = self.tell(agent, verb, missed)["at_us"]
        if kind == "twice_reset":
            def back() -> bool:
                return bool(self.flows_of(agent))
            wait_until("new lanes after the first of two cuts", back, 60)
            time.sleep(chance.uniform(0, 3 * self.arguments.rtt / 1e3))  # Anywhere in the handshakes or the replay.
            again = self.flows_of(agent)
            free_us = self.tell(agent, "reset", again)["at_us"] if again else at_us
        cut = Cut(kind, agent.number, at_us, free_us, len(flows))
        if kind.startswith("one_"):
            time.sleep(5 * self.arguments.rtt / 1e3)
            if not set(flows) & set(self.flows_of(agent)):
                # It was the only one, or the only one that was not just being given back: not one of several.
                cut.kind = "all_" + kind.split("_", 1)[1]
        self.wait_after(agent, cut)

    def wait_after(self, agent: Agent, cut: Cut) -> None:
        """Until the next cut may come: every stream has had a chunk, and the session is well."""
        self.cuts.append(cut)
        time.sleep(KINDS[cut.kind].seconds + 5 * self.arguments.rtt / 1e3 + tick_us(self.arguments) / 1e6)
        self.settled(agent)
        cut.end_us = monotonic_us()

    def cut_agent(self, agent: Agent, count: int) -> None:
        chance = random.Random(self.arguments.seed * 1000 + agent.number)
        kinds = [kind for kind in self.arguments.kinds if kind not in OUTAGES]
        try:
            for number in range(count if kinds else 0):
                # Every kind in turn, each agent at another place in the row.
                self.kill(agent, kinds[(number + agent.number) % len(kinds)], chance)
        except (PairError, OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
            self.errors.append(error)  # What was cut until then is judged all the same.

    def outage(self, kind: str, chance: random.Random) -> None:
        way = "both" if kind == "outage" else chance.choice(("up", "down"))
        seconds = self.arguments.outage or chance.uniform(*OUTAGE_SECONDS)
        at_us = self.line.tell(f"cut {way}")["at_us"]
        began = time.monotonic()
        for after in range(LOOK_AFTER, math.ceil(seconds), LOOK_EVERY):
            time.sleep(max(began + after - time.monotonic(), 0))
            self.look(f"dead {way}", began)
        time.sleep(max(began + seconds - time.monotonic(), 0))
        free_us = self.line.tell(f"uncut {way}")["at_us"]
        # Every stream has a chunk that is in time before the next outage.
        time.sleep(KINDS[kind].seconds + tick_us(self.arguments) / 1e6)
        for agent in self.gateway.agents:
            self.settled(agent)
        end_us = monotonic_us()
        self.cuts += [Cut(kind, agent.number, at_us, free_us, 0, end_us) for agent in self.gateway.agents]

    def look(self, line: str, began: float) -> None:
        """Asks both ends once: so long after the line has died, neither may say that a session is healthy."""
        after = time.monotonic() - began
        told = [(f"agent {agent.number}", agent.status()["session"]["state"]) for agent in self.gateway.agents]
        told += [(f"the gateway, of {session['site']},", session["state"])
                 for session in json.loads(self.gateway.admin("status", "--json"))["sessions"]]
        self.looks += len(told)
        self.not_stalled += [f"{who} said '{state}' with the line {line} for {after:.1f} s"
                             for who, state in told if state != "stalled"]

    def run(self) -> None:
        kinds = [kind for kind in self.arguments.kinds if kind in OUTAGES]
        agents = self.gateway.agents
        # An outage cuts all agents at once; one cut in eight is one, if others are wanted as well.
        share = 8 if set(self.arguments.kinds) - set(OUTAGES) else 1
        each = -(-self.arguments.cuts // len(agents))
        outages = each // share if kinds else 0
        each -= outages
        threads = [threading.Thread(target=self.cut_agent, args=(agent, each)) for agent in agents]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(20)
                say(f"{len(self.cuts)} of {self.arguments.cuts} cuts")
        chance = random.Random(self.arguments.seed)
        for number in range(outages):
            self.outage(kinds[number % len(kinds)], chance)
            say(f"{len(self.cuts)} of {self.arguments.cuts} cuts")


def stalls_ms(cut: Cut, late: list[tuple], streams: Streams, arguments: argparse.Namespace, seen: set) -> list[float]:
    """How long each direction of each stream of that agent stood still for this cut; 0 where nothing was late. Counted from
    the cut's end, it is until the last chunk that was later than the one before it: the first of those that waited, if the
    others follow without a gap; else it is the delay of the worst chunk until the next cut, as far as new connections could
    be made meanwhile."""
    worst: dict[tuple, float] = {}
    # A cut makes late what is due when it comes, or was on its way, and what is due while those are late. What becomes
    # late after that is somebody else's fault.
    around_us = 2000 * arguments.rtt + 1000 * streams.tick_ms
    first, last = cut.at_us - around_us, cut.free_us + around_us
    end = cut.end_us - around_us  # What is due later may be late by the next cut.
    for chunk in late[bisect.bisect_left(late, (first,)):bisect.bisect_right(late, (end,))]:
        due, arrived, stream = chunk
        if due > last and KINDS[cut.kind].from_end:
            break
        if arrived < cut.at_us:
            continue
        last = max(last, arrived)
        seen.add((cut.agent, chunk))
        in_time = cut.free_us if KINDS[cut.kind].from_end else max(due + 1000 * streams.base_ms, cut.free_us)
        worst[stream] = max(worst.get(stream, 0.0), (arrived - in_time) / 1e3)
    return [*worst.values()] + [0.0] * (2 * arguments.streams - len(worst))


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def judge(result: dict, cutter: Cutter, streams: Streams, arguments: argparse.Namespace) -> bool:
    late, seen, met = streams.late(), set(), True
    print(f"\n{'kind of cut':<40}{'cuts':>6}{'lanes':>7}{'p50 ms':>9}{'p99 ms':>9}{'worst':>9}{'bar':>9}")
    for name, kind in KINDS.items():
        cuts = [cut for cut in cutter.cuts if cut.kind == name]
        if not cuts and name not in arguments.kinds:
            continue
        if not cuts:
            # A bar that nothing was measured for is not met; with --bulk and --loss there are several lanes.
            met = met and kind.bar_ms(arguments.rtt) is None
            print(f"{text_of(name, arguments):<40}{'none':>6}")
            continue
        values = [ms for cut in cuts
                  for ms in stalls_ms(cut, late.get(cut.agent, []), streams, arguments, seen)]
        p99, bar = quantile(values, 0.99), kind.bar_ms(arguments.rtt)
        is_met = bar is None or p99 <= bar
        met = met and is_met
        lanes = sum(cut.lanes for cut in cuts) / len(cuts)
        result["kinds"][name] = {"cuts": len(cuts), "lanes": lanes, "p50_ms": quantile(values, 0.5), "p99_ms": p99,
                                 "worst_ms": max(values), "bar_ms": bar, "met": is_met}
        print(f"{text_of(name, arguments):<40}{len(cuts):>6}{lanes if lanes else '-':>7.3}"
              f"{quantile(values, 0.5):>9.0f}{p99:>9.0f}"
              f"{max(values):>9.0f}{'-' if bar is None else f'{bar:.0f}':>9}  {'' if is_met else 'MISSED'}")
    others = [chunk[1] - chunk[0] for agent, chunks in late.items() for chunk in chunks if (agent, chunk) not in seen]
    others = [us / 1e3 - streams.base_ms for us in others if us / 1e3 - streams.base_ms > BESIDE_MS]
    print(f"more than {BESIDE_MS} ms late without a cut (a busy machine, lanes that come and go): {len(others)} times, worst "
          f"{max(others, default=0):.0f} ms")
    counts = result["streams"]
    lacking = max(arguments.cuts - len(cutter.cuts), 0)
    failures = {"cuts that could not be made": lacking, "bytes lost": counts["lost_bytes"], "bytes wrong": counts["wrong_bytes"],
                "streams reset": counts["resets"] + counts["reset_at_sink"], "ended early": counts["early_ends"],
                "never ended": counts["unfinished"], "not stalled in an outage": len(cutter.not_stalled)}
    print(f"{len(cutter.cuts)} cuts, {counts['streams']} streams, {counts['received_bytes'] / 1e6:.0f} MB each way; "
          + ", ".join(f"{what} {count}" for what, count in failures.items())
          + f"; replay memory of agents, sampled, at most {result['most_backlog_bytes'] / 1e6:.1f} MB a session; processes at "
          f"most {result['agent_peak_mib']:.0f} MiB of an agent, {result['gateway_peak_mib']:.0f} MiB of the gateway")
    if cutter.looks:
        print(f"status of both ends during outages of more than {LOOK_AFTER} s: {cutter.looks} times, "
              f"{cutter.looks - len(cutter.not_stalled)} times stalled")
    for text in cutter.not_stalled[:10]:
        print(f"not stalled: {text}")
    for error in cutter.errors:
        print(f"ended early: {error}")
    print("met" if met and not any(failures.values()) else "MISSED")
    return met and not any(failures.values())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
               "  ./dev bench cuts --cuts 10000 --agents 16 --json cuts.json\n"
               "  ./dev bench cuts --kinds outage --outage 300 --cuts 6 --agents 2     # three outages of five minutes\n"
               "  ./dev bench cuts --kinds all_proxy_close all_proxy_reset             # each agent behind an HTTP proxy\n"
               "  ./dev bench cuts --bulk --loss 0.1 --rate 100 --agents 1 --kinds none one_reset all_reset    # striped")
    parser.add_argument("--cuts", type=int, default=240, help="over all agents, an outage is one of each (default 240, about "
                        "five minutes)")
    parser.add_argument("--agents", type=int, default=4, help="in parallel (default 4)")
    parser.add_argument("--streams", type=int, default=64, help="of each agent, both directions (default 64)")
    parser.add_argument("--rtt", type=float, default=40, help="ms (default 40)")
    parser.add_argument("--rate", type=float, default=400, help="Mbit/s (default 400)")
    parser.add_argument("--loss", type=float, default=0, help="per cent (default 0)")
    parser.add_argument("--congestion", choices=("cubic", "bbr"), default="cubic")
    parser.add_argument("--kinds", choices=list(KINDS), nargs="+", help="default: all but 'none', which shows what is late "
                        "without a cut, and those by a proxy, which do not go with others: then every agent has one; with "
                        "--outage, both kinds of outages")
    parser.add_argument("--outage", type=float, metavar="SECONDS", help="how long the line is dead each time, less than "
                        f"{RESUME_DEADLINE}; streams are slower then, so that no more waits for its end (default: 1 to 8 s)")
    parser.add_argument("--seed", type=int, default=1, help="of contents, losses and times (default 1)")
    parser.add_argument("--bulk", action="store_true", help="one stream of bulk beside them in each agent, and chunks so large "
                        "that they are striped: with --loss 0.1 lanes become several, and delays those of a full line")
    parser.add_argument("--quick", action="store_true", help="do not check the line against theory first")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    if arguments.outage is not None and not 0 < arguments.outage < RESUME_DEADLINE:
        parser.error(f"--outage: more than 0 and less than {RESUME_DEADLINE} s, after which the daemons give up")
    if arguments.kinds is None:
        arguments.kinds = list(OUTAGES if arguments.outage else BY_DEFAULT)
    kinds = set(arguments.kinds)
    if arguments.outage and kinds - set(OUTAGES):
        parser.error(f"--outage goes with the kinds {' and '.join(OUTAGES)} alone: its streams are too slow for the others")
    if kinds & set(PROXY_KINDS) and kinds - set(PROXY_KINDS):
        parser.error("kinds by a proxy go with each other alone: the others are of lanes without a proxy")
    return arguments


def shape_of(arguments: argparse.Namespace) -> LineShape:
    return LineShape(arguments.rtt, arguments.rate, arguments.loss / 100, arguments.congestion)


def measure(line: WanLine, folder: Path, arguments: argparse.Namespace, result: dict) -> bool:
    line.set_kernel(BUFFERS)
    line.shape(shape_of(arguments))
    gateway = Gateway(line, folder, bbr=arguments.congestion == "bbr", agents=arguments.agents)
    streams = load = None
    proxies: dict[int, AgentProxy] = {}
    try:
        if set(arguments.kinds) & set(PROXY_KINDS):
            for agent in gateway.agents:
                proxies[agent.number] = AgentProxy(line, gateway, agent)
        streams = Streams(line, gateway, folder, arguments)
        if arguments.bulk:
            load = line_load(line, folder)
            streams.add_bulk(load, gateway)
            time.sleep(BULK_SECONDS)
        print(f"{arguments.agents} agents of {arguments.streams} streams both ways, {chunk_bytes(arguments)} bytes every "
              f"{streams.tick_ms:g} ms; RTT {arguments.rtt:g} ms, {arguments.rate:g} Mbit/s, loss {arguments.loss:g} %, "
              f"{arguments.congestion}; seed {arguments.seed}"
              + ("; each agent behind an HTTP proxy at the near end" if proxies else ""), flush=True)
        cutter = Cutter(line, gateway, proxies, arguments)
        turns = itertools.cycle(gateway.agents)
        with Sampler(lambda: next(turns).status()["backlog_bytes"], min(1, BACKLOG_SECONDS / arguments.agents)) as backlog:
            cutter.run()
        result["streams"] = streams.finish()
        result["most_backlog_bytes"] = backlog.most()
        result["agent_peak_mib"] = max(memory_kib(a.process.process.pid, "status", "VmHWM") for a in gateway.agents) / 1024
        result["gateway_peak_mib"] = memory_kib(gateway.process.process.pid, "status", "VmHWM") / 1024
        result["cuts"] = [vars(cut) for cut in cutter.cuts]
        result["looks"], result["not_stalled"] = cutter.looks, cutter.not_stalled
        return judge(result, cutter, streams, arguments)
    finally:
        if streams is not None:
            streams.stop()
        if load is not None:
            load.stop()
        gateway.stop()
        for proxy in proxies.values():
            proxy.stop()


def main() -> int:
    arguments = parse_arguments()
    result = {"machine": machine(), "arguments": {k: str(v) for k, v in vars(arguments).items()}, "kinds": {}}
    with WanLine(arguments.seed) as line, tempfile.TemporaryDirectory(prefix="culvert-bench-",
                                                                      ignore_cleanup_errors=True) as name:
        folder = Path(name)
        honesty = prove_line(line, folder, arguments.quick, [shape_of(arguments)])
        result["honesty"] = honesty.findings
        if honesty.faults:
            return 1
        met = measure(line, folder, arguments, result)
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
