#!/usr/bin/env python3
"""The command lines as they are promised: exit codes, results alone on stdout, keys of --json, --config after any
arguments, help with an example, unknown keys with the nearest known one; with and without a daemon."""
import json
import os
import re
import stat
from pathlib import Path

from support.scenario import Done, LocalPair, PairError, agent, check, free_port, gateway, main, refuses, run, wait_until

GATEWAY_COMMANDS = ["", "init", "run", "org", "org add", "org list", "org remove", "target", "target add", "target list",
                    "target remove", "site", "site list", "site remove", "limit", "limit set", "limit list", "limit remove",
                    "join-token", "status"]
AGENT_COMMANDS = ["", "join", "run", "forward", "forward add", "forward list", "forward remove", "firewall",
                  "limit", "limit set", "limit list", "limit remove", "doctor", "explain", "status"]


def scenario(folder: Path) -> None:
    helps()
    wrong_usage(folder)
    pair = LocalPair(folder / "deep" / "er" / ("long-" * 30))  # admin.sock lies deeper than a socket's name may be.
    try:
        make(pair)
        pair.start_gateway()
        for_provider(pair)
        for_customer(pair)
        pair.agent.stop()
        pair.gateway.stop()
        without_daemons(pair)
        wrong_configuration(pair)
    finally:
        pair.stop()


def helps() -> None:
    for program, commands in (("culvert-gateway", GATEWAY_COMMANDS), ("culvert-agent", AGENT_COMMANDS)):
        for command in commands:
            done = run(program, *command.split(), "--help")
            told = done.code == 0 and not done.err and "Example" in done.out and f"{program} {command}".strip() in done.out
            check(f"{program} {command} --help has an example", told, done)
        done = run(program, "--version")
        check(f"{program} --version prints one line", done.code == 0 and re.match(rf"^{program} \d+\.\d+\.\d+\n$", done.out),
              done)


def wrong_usage(folder: Path) -> None:
    for words in ([], ["nonsense"], ["org"], ["org", "add"], ["org", "lsit"], ["status", "--jsn"], ["run", "extra"]):
        refuses(f"culvert-gateway {' '.join(words)}", gateway(*words), 2, "--help")
    for words in ([], ["nonsense"], ["forward"], ["forward", "add"], ["join"], ["forward", "add", "x", "--port", "0"],
                  ["forward", "add", "x", "--port", "65536"], ["forward", "add", "x", "--port", "many"]):
        refuses(f"culvert-agent {' '.join(words)}", agent(*words), 2, "--help")
    for option in ("--data", "--hostname", "--listen", "--public-url"):
        given = {"--data": folder / "x", "--hostname": "gw", option: ""}
        refuses(f"init with an empty {option}", gateway("init", *(word for pair in given.items() for word in pair)), 2,
                f"{option}: it is empty; see 'culvert-gateway init --help'")
    check("makes nothing", not (folder / "x").exists())
    refuses("join with an empty --data", agent("join", "culvert-join-x", "--data", ""), 2, "--data: it is empty")
    refuses("and so culvert-certs", run("culvert-certs", "init-root", "--dir", ""), 2, "--dir: it is empty")
    nowhere = folder / "nowhere.toml"
    refuses("a configuration that is not there is named", gateway("org", "list", "--config", nowhere), 2, str(nowhere))
    refuses("for the agent too, with the command that makes it", agent("status", "--config", nowhere), 2, str(nowhere),
            "culvert-agent join")


def make(pair: LocalPair) -> None:
    port = free_port()
    done = gateway("init", "--data", pair.gateway_dir, "--hostname", "localhost", "--listen", f"127.0.0.1:{port}")
    check("init makes the directory with its parents and says nothing on stdout", done.code == 0 and not done.out, done)
    mode = stat.S_IMODE(os.stat(pair.gateway_dir).st_mode)
    check("the directory is its owner's alone", mode == 0o700, oct(mode))
    before = sorted((f, f.stat().st_mtime_ns) for f in pair.gateway_dir.rglob("*"))
    refuses("init again is refused", gateway("init", "--data", pair.gateway_dir, "--hostname", "localhost"), 1, "in use")
    check("and changes nothing", before == sorted((f, f.stat().st_mtime_ns) for f in pair.gateway_dir.rglob("*")))
    refuses("init needs a name that can be one", gateway("init", "--data", pair.folder / "x", "--hostname", "a b"), 2)
    check("and makes nothing then", not (pair.folder / "x").exists())


def at(pair: LocalPair, *words: object) -> Done:
    return gateway(*words, "--config", pair.gateway_config)


def silent(sentence: str, done: Done) -> None:
    check(f"{sentence}; stdout is empty", done.code == 0 and not done.out, done)


def answer(sentence: str, done: Done, *keys: str) -> dict:
    try:
        result = json.loads(done.out)
    except ValueError:
        raise PairError(f"NOT TRUE: {sentence} is JSON\n{done}") from None
    check(sentence, set(keys) <= set(result), done)
    return result


def for_provider(pair: LocalPair) -> None:
    """Each command against the running gateway."""
    silent("org add", at(pair, "org", "add", "acme"))
    refuses("org add twice", at(pair, "org", "add", "acme"), 1, "acme")
    refuses("org add with a bad name", at(pair, "org", "add", "Acme!"), 2)
    silent("target add", at(pair, "target", "add", "acme", "db", "127.0.0.1:5432"))
    silent("target add of IPv6", at(pair, "target", "add", "acme", "db6", "[::1]:5432"))
    refuses("target add to an unknown org", at(pair, "target", "add", "nobody", "db", "127.0.0.1:5432"), 1, "nobody")
    refuses("target add without a port", at(pair, "target", "add", "acme", "x", "127.0.0.1"), 2, "port")
    refuses("target add with port 0", at(pair, "target", "add", "acme", "x", "127.0.0.1:0"), 2, "port")
    token = at(pair, "join-token", "acme", "tokyo")
    check("join-token prints one line that is the joining string",
          token.code == 0 and re.match(r"^culvert-join-[A-Za-z0-9_-]+\n$", token.out), token)
    refuses("join-token of an unknown org", at(pair, "join-token", "nobody", "tokyo"), 1, "nobody")

    orgs = answer("org list --json", at(pair, "org", "list", "--json"), "orgs")
    check("org list --json has the org", orgs["orgs"][0]["name"] == "acme", orgs)
    targets = answer("target list --json", at(pair, "target", "list", "acme", "--json"), "targets")
    check("target list --json has both", [t["name"] for t in targets["targets"]] == ["db", "db6"], targets)
    sites = answer("site list --json", at(pair, "site", "list", "--json"), "sites")
    check("site list --json has the site", (sites["sites"][0]["org"], sites["sites"][0]["name"]) == ("acme", "tokyo"), sites)
    for words, shown in ((["org", "list"], "acme"), (["target", "list"], "5432"), (["site", "list"], "tokyo"),
                         (["status"], "streams")):
        done = at(pair, *words)
        check(f"{' '.join(words)} prints a table", done.code == 0 and shown in done.out, done)
    status = answer("status --json", at(pair, "status", "--json"), "sessions", "streams", "listen", "state", "version")
    check("status tells what runs", status["state"] and status["sessions"] == [], status)

    between = gateway("target", "--config", pair.gateway_config, "list")
    check("--config belongs behind the whole command", between.code == 2, between)
    joined = agent("join", token.out.strip(), "--data", pair.agent_dir)
    check("join says as whom it joined, on stdout, and the hints on stderr",
          joined.code == 0 and "acme/tokyo" in joined.out and "culvert-agent run" in joined.err, joined)

    for words, gone in ((["target", "remove", "acme", "db6"], "db6"), (["org", "remove", "gone"], "gone")):
        if words[0] == "org":
            silent("org add for its removal", at(pair, "org", "add", "gone"))
        removed = at(pair, *words, "--json")
        result = answer(f"{' '.join(words)} --json", removed)
        check("it names what is gone", gone in json.dumps(result), removed)
        refuses(f"{' '.join(words)} again", at(pair, *words), 1, gone)
    done = at(pair, "target", "remove", "acme", "nothing", "--json")
    error = answer("an error as JSON too", done, "error")["error"]
    check("with code and message, exit code 1", done.code == 1 and error["code"] and "nothing" in error["message"], done)


def on(pair: LocalPair, *words: object) -> Done:
    return agent(*words, "--config", pair.agent_config)


def for_customer(pair: LocalPair) -> None:
    pair.start_agent()
    wait_until("a session", lambda: pair.status()["session"]["state"] == "up")
    port = free_port()
    done = on(pair, "forward", "add", "db", "--port", port)
    check("forward add prints name and port", done.code == 0 and "db" in done.out and str(port) in done.out, done)
    check("forward add twice with the same port is success", on(pair, "forward", "add", "db", "--port", port).code == 0)
    refuses("with another port it is not", on(pair, "forward", "add", "db", "--port", free_port()), 1, str(port))
    check("the forward has its own file", (pair.agent_dir / "forwards.d/db.toml").exists())
    listed = answer("forward list --json", on(pair, "forward", "list", "--json"), "forwards")["forwards"]
    check("forward list --json has its keys", {"name", "listen", "port", "state", "error", "streams", "weight"} <= set(listed[0]),
          listed)
    status = answer("status --json --streams", on(pair, "status", "--json", "--streams"), "session", "lanes", "forwards",
                    "streams", "backlog_bytes")
    check("session has its keys", {"state", "id", "gateway", "since", "error"} <= set(status["session"]), status)
    check("lanes have theirs", {"id", "state", "rtt_ms", "sent_bytes", "received_bytes"} <= set(status["lanes"][0]),
          status)
    check("streams have theirs", {"open", "opened_total", "reset_total", "list"} <= set(status["streams"]), status)
    check("status as a table", "session" in on(pair, "status").out)
    refuses("a forward with a bad name", on(pair, "forward", "add", "No Name"), 2)
    refuses("a forward with a bad network", on(pair, "forward", "add", "x", "--allow-from", "10.0.0.0/99"), 2, "10.0.0.0/99")
    refuses("a forward with a bad address", on(pair, "forward", "add", "x", "--bind", "somewhere"), 2, "somewhere")
    removed = on(pair, "forward", "remove", "db", "--json")
    answer("forward remove --json", removed)
    refuses("forward remove again", on(pair, "forward", "remove", "db"), 1, "db")


def without_daemons(pair: LocalPair) -> None:
    for name, done in (("gateway", at(pair, "status", "--json")), ("agent", on(pair, "status", "--json"))):
        error = answer(f"status --json of a {name} that does not run", done, "error")["error"]
        check("is an error object and exit code 1", done.code == 1 and error["code"] and error["message"], done)
    silent("org add without a daemon", at(pair, "org", "add", "later"))
    listed = answer("org list without a daemon", at(pair, "org", "list", "--json"), "orgs")
    check("has the new one", "later" in [org["name"] for org in listed["orgs"]], listed)
    check("join-token without a daemon", at(pair, "join-token", "later", "x").out.startswith("culvert-join-"))
    check("forward add without a daemon", on(pair, "forward", "add", "db").code == 0)
    check("forward list without a daemon", '"db"' in on(pair, "forward", "list", "--json").out)
    check("forward remove without a daemon", on(pair, "forward", "remove", "db").code == 0)


def wrong_configuration(pair: LocalPair) -> None:
    for name, program, config, mistyped, known in (
            ("gateway", gateway, pair.gateway_config, 'hostnam = "x"', "hostname"),
            ("agent", agent, pair.agent_config, 'gateway_ulr = "x"', "gateway_url")):
        good = config.read_text()
        config.write_text(mistyped + "\n" + good)
        refuses(f"an unknown key of the {name}: file, line and the nearest key",
                program("run", "--config", config), 2, str(config), "1", known)
        required = known + " ="
        line = next(number for number, text in enumerate(good.splitlines(), 1) if text.startswith(required))
        config.write_text(good.replace("\n" + required, "\n" + mistyped.split(" ")[0] + " =", 1))
        refuses(f"a mistyped required key of the {name}: its line and the nearest key, not that one is missing",
                program("run", "--config", config), 2, f"{config}:{line}:", f"did you mean '{known}'?")
        config.write_text(good + "\n[limits\n")
        lines = len((good + "\n[limits").splitlines())
        refuses(f"a {name} file that is no TOML: file and line", program("run", "--config", config), 2, str(config),
                str(lines))
        config.write_text(good + "\n[limits]\ndrain_timeout = 5\n" if "[limits]" not in good else
                          good.replace("[limits]", '[limits]\ndrain_timeout = "yes"'))
        refuses(f"a {name} value that is no time", program("run", "--config", config), 2, "drain_timeout")
        config.write_text(good)


main(scenario)
