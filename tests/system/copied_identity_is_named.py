#!/usr/bin/env python3
"""A copy of an agent's directory runs beside it: the newer one has the session, the older one lets it be for a while,
and both say what is wrong."""
import json
import shutil
import time
from pathlib import Path

from support.scenario import BIN, QUICK_END, LocalPair, Process, agent, check, log_of, main, wait_until

REASON = "superseded_instance"


def session_of(config: Path) -> dict:
    done = agent("status", "--json", "--config", config)
    return json.loads(done.out)["session"] if done.code == 0 else {"state": "not running"}


def scenario(folder: Path) -> None:
    pair, copy = LocalPair(folder), None
    try:
        pair.start_new(settings=QUICK_END)
        first = pair.agent_config
        check("a session that nobody took has no end to tell", session_of(first)["last_end"] is None)
        copied = folder / "copy"
        shutil.copytree(pair.agent_dir, copied, ignore=shutil.ignore_patterns("admin.sock", "lock"))
        second = copied / "agent.toml"
        copy = Process([str(BIN / "culvert-agent"), "run", "--config", str(second)], folder / "copy.log", ready="ready")
        wait_until("the session of the copy", lambda: session_of(second)["state"] == "up")
        wait_until("the first agent to be down", lambda: session_of(first)["state"] == "down")
        told = session_of(first)
        check("the first agent says that its identity was copied, and what to do",
              told["last_end"]["reason"] == REASON and "stop one of the two" in told["error"], told)
        time.sleep(3)  # Nothing happens: that is what is tried.
        states = [session_of(config)["state"] for config in (first, second)]
        check("it lets the newer one be", states == ["down", "up"], (states, pair.agent.log_end(), copy.log_end()))
        shown = agent("status", "--config", first).out
        check("the table says so too", "its identity was copied" in shown, shown)
        report = json.loads(agent("doctor", "--json", "--config", first).out)
        found = {finding["id"]: finding["evidence"] for finding in report["findings"]}
        check("the doctor finds no session although the gateway answers, and why",
              "its identity was copied" in found.get("session_down", ""), report)
        copy.stop()
        wait_until("the first agent to come back by itself", lambda: session_of(first)["state"] == "up", 45)
        told = session_of(first)
        check("afterwards it still says why the session before ended",
              told["last_end"]["reason"] == REASON and not told["error"], told)
        check("the gateway's log names it", REASON in log_of(pair.gateway))
    finally:
        if copy is not None:
            copy.stop()
        pair.stop()


main(scenario)
