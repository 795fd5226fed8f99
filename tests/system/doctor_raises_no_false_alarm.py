#!/usr/bin/env python3
"""culvert-agent doctor on a healthy set-up finds nothing, run after run: with an idle agent, with streams, and without an
agent. --runs N for more runs than a test has time for, --at-once M of them beside each other."""
import argparse
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.scenario import agent, check, free_port, LocalPair, main, NO_DEPOT, QUICK_END
from support.tcp import Echo, echoes, source


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=6, help="in all (default 6)")
    parser.add_argument("--at-once", type=int, default=2)
    return parser.parse_args()


def scenario(folder: Path) -> None:
    chosen = options()
    pair, echo = LocalPair(folder / "pair"), Echo()
    try:
        pair.start_new(settings=QUICK_END, depot=NO_DEPOT)
        # Not one of the pool: whoever else has it, doctor would say so.
        port = pair.add_forward("echo", echo.port, free_port())
        phases = [("with an idle agent", None), ("while streams carry bytes", port)]
        for name, busy in phases:
            run_phase(pair, name, busy, max(1, chosen.runs // 3), chosen.at_once)
        pair.agent.stop()
        run_phase(pair, "without an agent", None, chosen.runs - 2 * max(1, chosen.runs // 3), 1)
    finally:
        pair.stop()
        echo.close()


def run_phase(pair: LocalPair, name: str, port: int, runs: int, at_once: int) -> None:
    done = threading.Event()
    talker = threading.Thread(target=talk, args=(port, done), daemon=True)
    if port:
        talker.start()

    def once(_: int) -> str:
        result = agent("doctor", "--json", "--config", pair.agent_config)
        good = result.code == 0 and json.loads(result.out)["findings"] == []
        return "" if good else f"{result.code}: {result.out} {result.err}"

    with ThreadPoolExecutor(at_once) as pool:
        alarms = [result for result in pool.map(once, range(runs)) if result]
    done.set()
    if port:
        talker.join(30)
    check(f"{runs} runs {name}: {len(alarms)} false alarms", not alarms, "\n".join(alarms))


def talk(port: int, done: threading.Event) -> None:
    with source(port) as stream:
        while not done.is_set():
            echoes(stream, 20_000)
            done.wait(0.01)


main(scenario)
