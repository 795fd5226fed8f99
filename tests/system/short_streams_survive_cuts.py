#!/usr/bin/env python3
"""Hundreds of short streams, opened and ended at any moment of a line that is cut and stalled all the time, are whole.

Streams that begin, half-close, answer and end while there is no lane are where an OPEN or an end could be lost or
come twice. Every answer is checked, the target counts its connections, and nothing may end with a reset.
"""
import hashlib
import os
import random
import socket
import threading
import time

from support.play import Scenario, play
from support.tcp import Server

from local_pair import PairError, wait_until

WORKERS = 8
SECONDS = 15


class HashTarget(Server):
    """Reads to the source's end, answers with the hash of it and as many bytes again, and closes."""

    def __init__(self) -> None:
        self.errors: list[OSError] = []
        super().__init__()

    def serve(self, near: socket.socket) -> None:
        near.settimeout(60)
        with near:
            try:
                data = bytearray()
                while piece := near.recv(1 << 16):
                    data += piece
                near.sendall(hashlib.sha256(data).digest() + data)
            except OSError as error:
                self.errors.append(error)


def one_stream(port: int, dice: random.Random) -> None:
    data = dice.randbytes(dice.choice((0, 1, 500, 8192, 20_000, 300_000)))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as source:
        source.sendall(data)
        source.shutdown(socket.SHUT_WR)
        back = bytearray()
        while piece := source.recv(1 << 16):
            back += piece
    if back != hashlib.sha256(data).digest() + data:
        raise PairError(f"{len(data)} bytes were sent, the answer to them has {len(back)} and is wrong")


def scenario_body(scenario: Scenario) -> None:
    pair, seed = scenario.start_pair(), os.urandom(4).hex()
    scenario.note(f"seed {seed}")
    target = HashTarget()
    scenario.stack.callback(target.close)
    port = pair.add_forward("target", target.port)
    done, errors, stop = [0] * WORKERS, [], threading.Event()

    def work(number: int) -> None:
        dice = random.Random(f"{seed} {number}")
        try:
            while not stop.is_set():
                one_stream(port, dice)
                done[number] += 1
        except (OSError, PairError) as error:
            errors.append(f"worker {number}, stream {done[number]}: {error!r}")
            stop.set()

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    dice, until, outages = random.Random(f"{seed} line"), time.monotonic() + SECONDS, 0
    while time.monotonic() < until and not stop.is_set():
        stop.wait(dice.uniform(0.05, 0.5))
        (pair.line.cut if dice.random() < 0.8 else pair.line.stall)()
        stop.wait(dice.uniform(0.0, 0.4))
        pair.line.mend()
        outages += 1
    stop.set()
    for worker in workers:
        worker.join(60)
    hanging = sum(worker.is_alive() for worker in workers)
    scenario.check("no stream hangs and none is broken", not hanging and not errors, (hanging, errors))
    scenario.check(f"{sum(done)} streams through {outages} outages came whole", sum(done) > WORKERS, errors)
    scenario.check("the target was reached once for each", target.accepted == sum(done) and not target.errors,
                   (target.accepted, target.errors))
    wait_until("all streams being finished", lambda: pair.status()["streams"]["open"] == 0)
    scenario.check("no stream was reset", pair.status()["streams"]["reset_total"] == 0, pair.status()["streams"])


if __name__ == "__main__":
    play(scenario_body)
