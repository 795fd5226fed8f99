#!/usr/bin/env python3
"""How streams end: half-closed in either direction, reset by source or target, and with a daemon that is killed.

Whatever happens, an incomplete stream ends with a reset at the other side and never in order, promptly, and an answer
that was written before a reset arrives before it. Streams whose targets do not read hold up nobody's end.
"""
import contextlib
import os
import select
import socket
import threading
import time
from typing import Optional

from support.play import Scenario, play
from support.proxied import set_section
from support.scenario import reset

from local_pair import PairError, wait_until

MIB = 1 << 20
PROMPT_SECONDS = 1.5
# A reset waits until the bytes before it are accepted, at most 2 s (docs/protocol.md §6.4).
FULL_WINDOW_SECONDS = 2 + PROMPT_SECONDS
ANSWERS = 30
LEAST_MEMORY = 8 * MIB  # That `session_memory` may be.
MOST_DEAF = 48  # A window begins with 256 KiB: 32 of those are the least memory.
LEFT_OVER = 128 << 10  # Who gets less has found next to nothing: each takes three quarters of what is left.


class Ends:
    """Both ends of streams through one forward."""

    def __init__(self, scenario: Scenario):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(20)
        scenario.stack.callback(self._listener.close)
        self._port = scenario.pair.add_forward("target", self._listener.getsockname()[1])

    def open(self) -> tuple[socket.socket, socket.socket]:
        """(source, target) of a new stream, known to be each other's."""
        source = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        target, _ = self._listener.accept()
        target.settimeout(20)
        source.sendall(b"s")
        target.sendall(b"t")
        if (target.recv(1), source.recv(1)) != (b"s", b"t"):
            raise PairError("a new stream does not carry its first byte")
        return source, target


def read_to_end(sock: socket.socket) -> tuple[bytes, str]:
    """What comes, and how it ends: 'closed', 'reset' or 'open' (still, after the socket's timeout)."""
    data = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            data += piece
        return bytes(data), "closed"
    except ConnectionResetError:
        return bytes(data), "reset"
    except TimeoutError:
        return bytes(data), "open"


def reset_seen_after(sock: socket.socket, seconds: float) -> Optional[float]:
    """Seconds until a reset is seen by one who does not read; None if it does not come."""
    poller, began = select.poll(), time.monotonic()
    poller.register(sock, 0)  # Errors only.
    events = poller.poll(seconds * 1000)
    return time.monotonic() - began if events and events[0][1] & select.POLLERR else None


def fill(sock: socket.socket, quiet_seconds: float = 0.5) -> int:
    """Sends until a full window has stopped it for so long; bytes sent."""
    return fill_all([sock], quiet_seconds)[0]


def fill_all(socks: list[socket.socket], quiet_seconds: float = 0.5) -> list[int]:
    """The same for many at once, until full windows have stopped them all."""
    sent, block = dict.fromkeys(socks, 0), bytes(MIB)
    for sock in socks:
        sock.setblocking(False)
    while ready := select.select([], socks, [], quiet_seconds)[1]:
        for sock in ready:
            with contextlib.suppress(BlockingIOError):
                sent[sock] += sock.send(block)
    for sock in socks:
        sock.settimeout(20)
    return list(sent.values())


def half_close(scenario: Scenario, ends: Ends) -> None:
    for first_name in ("source", "target"):
        source, target = ends.open()
        first, second = (source, target) if first_name == "source" else (target, source)
        question, answer = os.urandom(300_000), os.urandom(2 * MIB)
        first.sendall(question)
        first.shutdown(socket.SHUT_WR)
        heard, how = read_to_end(second)
        scenario.check(f"the {first_name} half-closed: everything came, then an orderly end",
                       heard == question and how == "closed", how)
        sender = threading.Thread(target=lambda: (second.sendall(answer), second.close()))
        sender.start()
        heard, how = read_to_end(first)
        sender.join()
        scenario.check(f"the {first_name} went on reading and got {len(answer) >> 20} MiB and an orderly end",
                       heard == answer and how == "closed", f"{len(heard)} bytes, {how}")
        first.close()


def reset_by_one_side(scenario: Scenario, ends: Ends) -> None:
    for name in ("source", "target"):
        one, other = ends.open() if name == "source" else tuple(reversed(ends.open()))
        reset(one)
        took = reset_seen_after(other, PROMPT_SECONDS)
        scenario.check(f"the {name} reset an idle stream; the other side saw a reset after {took or 0:.2f} s",
                       took is not None)
        other.close()

        one, other = ends.open() if name == "source" else tuple(reversed(ends.open()))
        sent = fill(one)
        reset(one)
        took = reset_seen_after(other, FULL_WINDOW_SECONDS)
        scenario.check(f"the {name} reset a stream that was full with {sent / MIB:.1f} MiB which the other side did "
                       f"not read; it saw a reset after {took or 0:.2f} s",
                       took is not None)
        other.close()

        one, other = ends.open() if name == "source" else tuple(reversed(ends.open()))
        other.shutdown(socket.SHUT_WR)
        if read_to_end(one) != (b"", "closed"):
            raise PairError(f"the {name} did not see the other side's orderly end")
        reset(one)
        took = reset_seen_after(other, PROMPT_SECONDS)
        scenario.check(f"the {name} reset a stream that the other side had half-closed, which saw it after "
                       f"{took or 0:.2f} s",
                       took is not None)
        other.close()


def answers_before_a_reset(scenario: Scenario, ends: Ends) -> None:
    """A target that refuses an upload answers, and closes with unread bytes: its kernel sends answer and reset."""
    answer, wrong = b"552 too much\r\n" * 50, []
    for number in range(ANSWERS):
        source, target = ends.open()
        if number % 2:
            source.sendall(bytes(200_000))
        else:
            fill(source, 0.1)  # The gateway waits for room in the target's socket.
        target.sendall(answer)
        reset(target)
        heard, how = read_to_end(source)
        source.close()
        if (heard, how) != (answer, "reset"):
            wrong.append((number, len(heard), how))
    scenario.check(f"{ANSWERS} targets answered an upload and reset it at once: each answer came whole, then a reset",
                   not wrong, f"{len(wrong)} of {ANSWERS} did not; (number, bytes of the answer, end): {wrong[:6]}")


def upload_arrives(source: socket.socket, target: socket.socket, size: int) -> bool:
    data = os.urandom(size)
    sender = threading.Thread(target=lambda: (source.sendall(data), source.shutdown(socket.SHUT_WR)))
    sender.start()
    heard, how = read_to_end(target)
    sender.join()
    target.close()
    source.close()
    return heard == data and how == "closed"


def backlog(scenario: Scenario) -> int:
    """Bytes that the agent has read from sources, and that no target's kernel has taken."""
    return scenario.pair.status()["backlog_bytes"]


def deaf_targets_hold_up_nobody(scenario: Scenario, ends: Ends) -> None:
    deaf = [ends.open() for _ in range(8)]
    sources = [source for source, _ in deaf]
    kept = sum(fill_all(sources))
    held = backlog(scenario)
    scenario.check(f"64 MiB arrive beside 8 streams whose targets do not read ({kept / MIB:.0f} MiB wait in them, "
                   f"{held / MIB:.1f} MiB of those in the agent)", held > 0 and upload_arrives(*ends.open(), 64 * MIB))
    scenario.check("while not one of those got on", not select.select([], sources, [], 0)[1])
    reset_all(deaf)


def deaf_targets_that_fill_the_memory(scenario: Scenario, ends: Ends) -> None:
    """With as little memory as the agent may have. How fast the others are then is for ./dev bench fair --deaf."""
    pair, deaf, kept, held = scenario.pair, [], [], [0]
    pair.agent.kill()
    set_section(pair.agent_config, "limits", session_memory=f"{LEAST_MEMORY // MIB} MiB")
    pair.start_agent()
    wait_until("a new session", lambda: pair.status()["session"]["state"] == "up")
    beside = ends.open()  # When nothing at all is left, new streams are refused (docs/protocol.md §8.2).
    while len(deaf) < MOST_DEAF and (len(deaf) < 2 or held[-1] - held[-2] > LEFT_OVER):
        deaf.append(ends.open())
        kept.append(fill(deaf[-1][0], 0.1))
        held.append(backlog(scenario))
    scenario.check(f"{len(deaf)} streams that are not read hold {held[-1] / MIB:.1f} of {LEAST_MEMORY // MIB} MiB, and the last "
                   "got next to nothing", len(deaf) < MOST_DEAF and LEAST_MEMORY // 2 < held[-1] <= LEAST_MEMORY, held)
    scenario.check("4 MiB of another stream arrive beside them all the same", upload_arrives(*beside, 4 * MIB))
    after = backlog(scenario)
    scenario.check(f"while those hold what they held ({after / MIB:.1f} MiB)", held[-1] // 2 < after <= LEAST_MEMORY)
    source, target = deaf[0]
    source.shutdown(socket.SHUT_WR)
    heard, how = read_to_end(target)
    scenario.check("nothing of theirs is lost: one that reads again gets all, and an orderly end",
                   (len(heard), how) == (kept[0], "closed"), f"{len(heard)} of {kept[0]} bytes, {how}")
    reset_all(deaf)


def reset_all(streams: list[tuple[socket.socket, socket.socket]]) -> None:
    for pair_of_ends in streams:
        for end in pair_of_ends:
            reset(end)


def killed_daemons(scenario: Scenario, ends: Ends) -> None:
    pair = scenario.pair
    for name, kill, start in (("gateway", lambda: pair.gateway.kill(), pair.start_gateway),
                              ("agent", lambda: pair.agent.kill(), pair.start_agent)):
        idle, busy = ends.open(), ends.open()
        busy[0].sendall(b"half of a message")
        wait_until("the half message at the target", lambda: select.select([busy[1]], [], [], 0)[0])
        kill()
        start()
        wait_until("a new session", lambda: pair.status()["session"]["state"] == "up")
        for what, (source, target) in (("idle", idle), ("busy", busy)):
            for side, sock in (("source", source), ("target", target)):
                sock.settimeout(10)
                _, how = read_to_end(sock)
                scenario.check(f"kill -9 of the {name}: the {side} of the {what} stream sees a reset", how == "reset",
                               how)
                sock.close()


def scenario_body(scenario: Scenario) -> None:
    scenario.start_pair()
    ends = Ends(scenario)
    half_close(scenario, ends)
    reset_by_one_side(scenario, ends)
    deaf_targets_hold_up_nobody(scenario, ends)
    wait_until("all streams being finished", lambda: scenario.pair.status()["streams"]["open"] == 0)
    answers_before_a_reset(scenario, ends)
    killed_daemons(scenario, ends)
    deaf_targets_that_fill_the_memory(scenario, ends)


if __name__ == "__main__":
    play(scenario_body)
