#!/usr/bin/env python3
"""A joining string that is mistyped, used, expired, replaced or of another gateway: refused, and nothing is left."""
import base64
import hashlib
import os
import pty
import sqlite3
import subprocess
import time
from pathlib import Path

from support.scenario import BIN, LocalPair, agent, check, free_port, log_of, main, refuses

PREFIX = "culvert-join-"


def body_of(text: str) -> bytearray:
    word = text[len(PREFIX):]
    return bytearray(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))[:-4])


def string_of(body: bytes) -> str:
    whole = body + hashlib.sha256(body).digest()[:4]
    return PREFIX + base64.urlsafe_b64encode(whole).decode().rstrip("=")


def scenario(folder: Path) -> None:
    port = free_port()
    pair = LocalPair(folder)
    pair.command(BIN / "culvert-gateway", "init", "--data", pair.gateway_dir, "--hostname", "localhost", "--listen",
                 f"127.0.0.1:{port}")
    pair.provider("org", "add", "acme")
    expired = pair.provider("join-token", "acme", "late").strip()
    with sqlite3.connect(pair.gateway_dir / "store.sqlite") as store:  # No daemon runs: the store is ours.
        store.execute("UPDATE joining_tokens SET expires_at = ? WHERE site = 'late'", (int(time.time()) - 60,))
    store.close()
    pair.start_gateway()
    try:
        refusals(pair, folder, expired)
    finally:
        pair.stop()


def pasted(folder: Path) -> None:
    """Into a terminal, which does not end by itself."""
    near, far = pty.openpty()
    with subprocess.Popen([str(BIN / "culvert-agent"), "join", "-", "--data", str(folder / "pasted")], stdin=far,
                          stderr=subprocess.PIPE, text=True) as join:
        check("join - says what it waits for", "paste the joining string" in join.stderr.readline())
        os.write(near, b"\nhello\nls\n")
        check("a pasted line is taken without the end of the input", join.wait(20) == 2)
        check("and no other line with it", "not a joining string" in join.stderr.read())
    os.close(near)
    os.close(far)


def refusals(pair: LocalPair, folder: Path, expired: str) -> None:
    def nothing_left(name: str) -> None:
        check(f"after '{name}' there is no directory", not (folder / name).exists(), list(folder.iterdir()))

    good = pair.provider("join-token", "acme", "tokyo").strip()
    secret_bytes = bytes(body_of(good)[-32:])

    typo = good[:40] + ("A" if good[40] != "A" else "B") + good[41:]
    refuses("a mistyped string is told from a whole one", agent("join", typo, "--data", folder / "typo"), 2,
            "mistyped")
    nothing_left("typo")
    refuses("what is no joining string is called that", agent("join", "hello", "--data", folder / "hello"), 2,
            "not a joining string")
    nothing_left("hello")
    pasted(folder)
    nothing_left("pasted")

    refuses("a string the gateway holds for expired is refused by it", agent("join", expired, "--data", folder / "late"),
            2, "expired")
    nothing_left("late")
    past = body_of(good)
    past[-40:-32] = (int(time.time()) - 60).to_bytes(8, "big")
    refuses("a string that says it is expired is refused before anything is sent",
            agent("join", string_of(past), "--data", folder / "past"), 2, "expired", "clock")
    nothing_left("past")

    unknown = body_of(good)
    unknown[-32:] = os.urandom(32)
    refuses("an unknown secret is refused", agent("join", string_of(unknown), "--data", folder / "unknown"), 2)
    nothing_left("unknown")

    root = body_of(good)
    at = 3 + int.from_bytes(root[1:3], "big") + 1
    root[at:at + 32] = os.urandom(32)
    refuses("a gateway under another root is not believed", agent("join", string_of(root), "--data", folder / "root"), 1)
    nothing_left("root")

    away = body_of(good)
    url_size = int.from_bytes(away[1:3], "big")
    url = f"https://localhost:{free_port()}".encode()
    away[1:3 + url_size] = len(url).to_bytes(2, "big") + url
    refuses("a gateway that is not there is named", agent("join", string_of(away), "--data", folder / "away"), 1,
            url.decode().removeprefix("https://"))
    nothing_left("away")

    busy = folder / "busy"
    busy.mkdir()
    (busy / "precious").write_text("keep me")
    refuses("a directory in use is left alone", agent("join", good, "--data", busy), 1, "busy")
    check("what was in it is there", [f.name for f in busy.iterdir()] == ["precious"], list(busy.iterdir()))

    first = agent("join", "-", "--data", folder / "agent", stdin=good + "\n")
    check("after all these refusals the good string works, from stdin", first.code == 0 and "acme/tokyo" in first.out,
          first)
    modes = {f.name: oct(f.stat().st_mode & 0o777) for f in (folder / "agent").iterdir()}
    check("the key is for its owner alone", modes["site.key"] == "0o600", modes)
    refuses("a used string is refused", agent("join", good, "--data", folder / "again"), 2, "used")
    nothing_left("again")
    refuses("joining a directory that has joined changes nothing", agent("join", good, "--data", folder / "agent"), 1)
    check("no log line holds a secret", good not in log_of(pair.gateway) and secret_bytes.hex() not in
          log_of(pair.gateway), "")

    older = pair.provider("join-token", "acme", "osaka").strip()
    check("a site's first string", older.startswith(PREFIX))
    pair.provider("site", "remove", "acme", "osaka")
    refuses("the string of a removed site is refused", agent("join", older, "--data", folder / "osaka"), 2)
    nothing_left("osaka")


main(scenario)
