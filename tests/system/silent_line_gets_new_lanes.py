#!/usr/bin/env python3
"""A line that was dead for two seconds, both ways or towards the gateway alone: new lanes take the place of those
that lost packets, and what waited goes over several of them, until it is carried."""
import time
from pathlib import Path

from support.far_pair import FarPair
from support.scenario import Skip, check, main, wait_until
from honesty import BUFFERS
from wan_line import FAR, LineShape, WanLine, unavailable

PORT, TARGET = 10003, 7001
SECONDS = 2  # More than the second after which the agent dials, less than the 2.5 s after which lanes are dead.
KIB_PER_SECOND = 2048
MOST_OUTSTANDING = 512  # KiB that have not come back; then TCP has nothing new to send, and its time-outs begin.
WAYS = {"both": "both ways", "up": "towards the gateway"}
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
    lack = unavailable()
    if lack:
        raise Skip(lack)
    with WanLine(seed=1) as line:
        line.set_kernel(BUFFERS)
        line.shape(LineShape(rtt_ms=40, rate_mbit=100))
        pair, programs = FarPair(line, folder, FAR), []
        try:
            pair.start_agent()
            pair.forward("echo", f"{FAR}:{TARGET}", PORT)
            programs.append(pair.python(line.far, ECHO, name="echo"))
            programs.append(pair.python(line.near, SOURCE, name="source"))
            goes_on(folder, 2)
            for way in ("both", "up"):
                falls_silent(line, way, pair, folder)
            status = pair.status()
            check("no stream was reset", status["streams"]["reset_total"] == 0 and status["streams"]["open"] == 1, status)
        finally:
            for program in programs:
                program.kill()
            pair.stop()


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


main(scenario)
