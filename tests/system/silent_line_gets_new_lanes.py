#!/usr/bin/env python3
"""A line that was dead for two seconds, both ways or towards the gateway alone: new lanes take the place of those
that lost packets, and what waited goes over several of them, until it is carried. One that is dead one way for longer is
shown as dead by both ends, and its stream goes on. One that is dead for long is tried often enough to be taken as soon as it
is back."""
import time
from pathlib import Path

from support.both_ends import BothEnds
from support.far_pair import FarPair, long_line
from support.scenario import check, main, wait_until
from wan_line import FAR, LineShape, WanLine

PORT, TARGET = 10003, 7001
SECONDS = 2  # More than the second after which the agent dials, less than the 2.5 s after which lanes are dead.
DEAD_SECONDS = 5  # More than the 3 s after which it is known.
LONG_DEAD_SECONDS = 15  # Longer than the 10 s after which dials are fewer, and long enough to see those.
LONGEST_PAUSE = 0.9  # Between two of those, seconds; 0.7 is meant.
KIB_PER_SECOND = 2048
MOST_OUTSTANDING = 512  # KiB that have not come back; then TCP has nothing new to send, and its time-outs begin.
WAYS = {"both": "both ways", "up": "towards the gateway", "down": "towards the agent"}
ECHO = f"""
import socket
listener = socket.create_server(("{FAR}", {TARGET}))
print("ready", flush=True)
peer, _ = listener.accept()
while piece := peer.recv(1 << 16):
    peer.sendall(piece)
"""
# Says how many seconds' worth of what it sends has come back whole.
SOURCE = f"""
import os, socket, sys, threading, time
stream = socket.create_connection(("127.0.0.1", {PORT}))
pieces = [os.urandom(1024) for _ in range(64)]
may_send = threading.Semaphore({MOST_OUTSTANDING})
def send():
    begun = time.monotonic()
    for number in range(120 * {KIB_PER_SECOND}):
        time.sleep(max(0, begun + number / {KIB_PER_SECOND} - time.monotonic()))
        may_send.acquire()
        stream.sendall(pieces[number % 64])
threading.Thread(target=send, daemon=True).start()
print("ready", flush=True)
received, number = b"", 0
while piece := stream.recv(1 << 16):
    received += piece
    while len(received) >= 1024:
        if received[:1024] != pieces[number % 64]:
            sys.exit("bytes differ")
        received, number = received[1024:], number + 1
        may_send.release()
        if number % {KIB_PER_SECOND} == 0:
            print(number // {KIB_PER_SECOND}, file=sys.stderr, flush=True)
"""


def scenario(folder: Path) -> None:
    with long_line() as line, FarPair(line, folder, FAR) as pair:
        line.shape(LineShape(rtt_ms=40, rate_mbit=100))
        pair.start_agent()
        pair.forward("echo", f"{FAR}:{TARGET}", PORT)
        pair.python(line.far, ECHO, name="echo")
        pair.python(line.near, SOURCE, name="source")
        goes_on(folder, 2)
        for way in ("both", "up"):
            falls_silent(line, way, pair, folder)
        for way in ("up", "down"):
            is_shown_as_dead(line, way, pair, folder)
        is_dialled_all_the_time(line, pair, folder)
        status = pair.status()
        check("no stream was reset", status["streams"]["reset_total"] == 0 and status["streams"]["open"] == 1, status)


def echoed_seconds(folder: Path) -> int:
    lines = (folder / "source.log").read_text().split()
    return int(lines[-1]) if lines and lines[-1].isdigit() else 0


def goes_on(folder: Path, seconds: int) -> None:
    before = echoed_seconds(folder)
    wait_until(f"{seconds} s more of the stream, whole", lambda: echoed_seconds(folder) >= before + seconds, 30)


def lanes_of(pair: FarPair) -> set[int]:
    return {lane["id"] for lane in pair.status()["lanes"]}


def falls_silent(line: WanLine, way: str, pair: FarPair, folder: Path) -> None:
    lanes = lanes_of(pair)
    line.tell(f"cut {way}")
    try:
        time.sleep(SECONDS)  # How long it is dead is what is tried.
    finally:
        line.tell(f"uncut {way}")
    wait_until("several new lanes in the place of those of before",
               lambda: len(lanes_of(pair)) >= 4 and not lanes & lanes_of(pair), 5)
    check(f"after {SECONDS} s of a line dead {WAYS[way]} new lanes, several, carry what waited", True)
    goes_on(folder, 4)
    wait_until("a single lane again when it is carried", lambda: len(lanes_of(pair)) == 1, 15)
    check("when it is carried one of them is left", True)


def is_shown_as_dead(line: WanLine, way: str, pair: FarPair, folder: Path) -> None:
    try:
        with BothEnds(pair) as ends:
            line.tell(f"cut {way}")
            began = time.monotonic()
            time.sleep(DEAD_SECONDS)  # How long it is dead is what is tried.
    finally:
        line.tell(f"uncut {way}")
    ends.show_as_dead(f"a line dead {WAYS[way]}", began, within=3)
    wait_until("the session is up again", lambda: pair.status()["session"]["state"] == "up", 15)
    goes_on(folder, 1)


def is_dialled_all_the_time(line: WanLine, pair: FarPair, folder: Path) -> None:
    at_us = line.tell("cut both")["at_us"]
    try:
        time.sleep(LONG_DEAD_SECONDS)
        begun = sorted((flow["begun_us"] - at_us) / 1e6 for flow in line.tell("flows")["flows"] if flow["far_port"] == 443)
    finally:
        line.tell("uncut both")
    begun = [at for at in begun if at > 0]
    pauses = [round(after - before, 2) for before, after in zip(begun, begun[1:] + [LONG_DEAD_SECONDS])]
    check(f"a line that is dead for long is dialled at least every {LONGEST_PAUSE} s ({len(begun)} times)",
          len(begun) > 10 and max(pauses) < LONGEST_PAUSE, pauses)
    wait_until("the session is up again", lambda: pair.status()["session"]["state"] == "up", 15)
    goes_on(folder, 1)


main(scenario)
