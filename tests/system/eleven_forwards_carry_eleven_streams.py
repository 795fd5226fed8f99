#!/usr/bin/env python3
"""Eleven forwards carry eleven streams at once, both directions of each checked by hash, while the line is cut.

Then, in a network namespace of its own: ports come from 10000-10010, a taken one is skipped and named in the log, and
forwards keep theirs over a restart of the agent.
"""
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time

from support.play import Scenario, play

from local_pair import PairError, free_port, wait_until

FORWARDS = 11
BYTES_EACH_WAY = 8 << 20
POOL = range(10000, 10011)
OUTAGES = [("cut", 0.3), ("cut", 1.0), ("stall", 0.5), ("cut", 0.2)]


class Sent:
    """Random bytes from a seed, with the hash of what has been produced."""

    def __init__(self, seed: str):
        self._random, self.hash, self.left = random.Random(seed), hashlib.sha256(), BYTES_EACH_WAY

    def piece(self) -> bytes:
        data = self._random.randbytes(min(self.left, self._random.choice((100, 5000, 70000))))
        self.left -= len(data)
        self.hash.update(data)
        return data


def talk(sock: socket.socket, seed: str) -> tuple[str, str]:
    """Sends until its bytes are out, reads until the other side's end; the hashes of both directions."""
    sent, received = Sent(seed), hashlib.sha256()
    sock.settimeout(120)

    def send() -> None:
        try:
            while sent.left:
                sock.sendall(sent.piece())
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # Seen by the reader below.

    sender = threading.Thread(target=send)
    sender.start()
    try:
        while data := sock.recv(1 << 16):
            received.update(data)
    finally:
        sender.join()
        sock.close()
    return sent.hash.hexdigest(), received.hexdigest()


class Target:
    """Accepts one stream and talks on it."""

    def __init__(self, seed: str):
        self.sent_hash, self.received_hash, self.error = "", "", None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, args=(seed,), daemon=True)
        self.thread.start()

    def _run(self, seed: str) -> None:
        try:
            near, _ = self._listener.accept()
            self.sent_hash, self.received_hash = talk(near, seed)
        except OSError as error:
            self.error = error
        finally:
            self._listener.close()


def eleven_streams(scenario: Scenario) -> None:
    pair, seed = scenario.start_pair(), os.urandom(4).hex()
    scenario.note(f"seed {seed}")
    targets = [Target(f"{seed} target {number}") for number in range(FORWARDS)]
    ports = [pair.add_forward(f"target-{number}", target.port, free_port()) for number, target in enumerate(targets)]
    scenario.check("eleven forwards have eleven ports", len(set(ports)) == FORWARDS, ports)

    hashes: dict[int, tuple[str, str]] = {}

    def source(number: int) -> None:
        try:
            hashes[number] = talk(socket.create_connection(("127.0.0.1", ports[number])), f"{seed} source {number}")
        except OSError as error:
            hashes[number] = (str(error), str(error))

    start = pair.line.carried_bytes
    sources = [threading.Thread(target=source, args=(number,), daemon=True) for number in range(FORWARDS)]
    for thread in sources:
        thread.start()
    wait_until("eleven open streams", lambda: pair.status()["streams"]["open"] == FORWARDS)
    for number, (kind, seconds) in enumerate(OUTAGES, 1):
        share = 2 * FORWARDS * BYTES_EACH_WAY * number // (len(OUTAGES) + 2)
        wait_until("the streams moving on", lambda: pair.line.carried_bytes > start + share, 120)
        (pair.line.cut if kind == "cut" else pair.line.stall)()
        time.sleep(seconds)  # The length of the outage is what is tried.
        scenario.check(f"{kind} number {number}: eleven streams are open",
                       pair.status()["streams"]["open"] == FORWARDS, pair.status()["streams"])
        pair.line.mend()
    for thread in (*sources, *(target.thread for target in targets)):
        thread.join(120)
        if thread.is_alive():
            raise PairError("a stream did not end")
    for number, target in enumerate(targets):
        if hashes[number] != (target.received_hash, target.sent_hash):
            raise PairError(f"stream {number}: bytes differ (source {hashes[number]}, target {target.error})")
    scenario.note(f"all {FORWARDS} streams carried {BYTES_EACH_WAY >> 20} MiB each way, every byte as it was sent")
    wait_until("all streams being finished", lambda: pair.status()["streams"]["open"] == 0)
    scenario.check("no stream was reset", pair.status()["streams"]["reset_total"] == 0, pair.status()["streams"])


def ports_of(pair) -> dict[str, int]:
    return {forward["name"]: forward["port"] for forward in pair.status()["forwards"]}


def default_pool(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    with socket.create_server(("", POOL[1])):
        for number in range(3):
            pair.add_forward(f"pool-{number}", free_port())
        scenario.check("ports come from 10000 on and a taken one is skipped",
                       sorted(ports_of(pair).values()) == [POOL[0], POOL[2], POOL[3]], ports_of(pair))
        named = [line for line in pair.agent.log.read_text().splitlines() if f"port {POOL[1]} is skipped" in line]
        scenario.check("the log names the taken port and who has it", named and "in use" in named[0], named)
        before = ports_of(pair)
    pair.agent.stop()
    pair.start_agent()
    scenario.check("after a restart each forward has the port it had, although a lower one is free",
                   ports_of(pair) == before, ports_of(pair))
    for number in range(3, FORWARDS):
        pair.add_forward(f"pool-{number}", free_port())
    scenario.check("eleven forwards fill the pool", sorted(ports_of(pair).values()) == list(POOL), ports_of(pair))
    pair.provider("target", "add", "demo", "one-more", "127.0.0.1:9")
    try:
        pair.customer("forward", "add", "one-more")
        raise PairError("a twelfth forward got a port out of nothing")
    except PairError as error:
        scenario.check("a twelfth is refused in words that name the pool", "10000" in str(error), error)


def main() -> None:
    if "--default-pool" in sys.argv:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        play(default_pool)
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    alone = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", *as_root]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:
        code = subprocess.run([*alone, sys.executable, __file__, "--default-pool"], check=False).returncode
        if code != 0:
            sys.exit(code)
    else:
        print("the default pool was not tried: this account may not make a network namespace", file=sys.stderr)
    play(eleven_streams)


if __name__ == "__main__":
    main()
