#!/usr/bin/env python3
"""A hand-made peer breaks the protocol on a real lane: its session ends with the number that fits, and the session of
another org beside it, and the gateway, never notice."""
import os
import struct
from pathlib import Path

from support.hand_made_peer import (ACK, DATA, OPEN, OPENED, RECEIPT, RESET, SESSION_END, HandMadePeer, frame, http,
                                    open_frame, Tls, tlv)
from support.scenario import BIN, QUICK_END, LocalPair, check, log_of, main, wait_for_log
from support.tcp import Echo, echoes, source

MALFORMED, UNKNOWN, FLOW, IDS, FINAL, RECEIPTS, GAPS = 2, 3, 4, 6, 7, 8, 9
TARGET_UNKNOWN = 65


def scenario(folder: Path) -> None:
    pair, echo = LocalPair(folder), Echo()
    try:
        pair.start_new(settings=QUICK_END)
        steady = source(pair.add_forward("echo", echo.port))
        check("a stream of another org", echoes(steady))
        pair.provider("org", "add", "rude")
        pair.provider("target", "add", "rude", "echo", f"127.0.0.1:{echo.port}")
        token = pair.provider("join-token", "rude", "hand").strip()
        pair.command(BIN / "culvert-agent", "join", token, "--data", folder / "hand")
        port = pair.line.target_port
        well_behaved(port, folder / "hand")
        hellos(port, folder / "hand")
        rule_breakers(pair, port, folder / "hand")
        harmless(port, folder / "hand")
        check("the stream of the other org never noticed", echoes(steady))
        check("and its session is the first one still", log_of(pair.agent).count("granted by") == 1, log_of(pair.agent))
        steady.close()
    finally:
        pair.stop()
        echo.close()


def echo_stream(peer: HandMadePeer, stream: int, cut: int = 0) -> bool:
    """A whole stream with 5,000 bytes through the echo, its frames sent in pieces of `cut` bytes."""
    data = os.urandom(5000)
    frames = open_frame(stream, "echo") + frame(DATA, stream, 0, data, flags=1)
    for at in range(0, len(frames), cut or len(frames)):
        peer.send(frames[at:at + (cut or len(frames))])
    back, final = b"", False
    while not final:
        got = peer.wait_for(DATA, RESET)
        if got is None or got[0] != DATA or got[2] != stream:
            return False
        back += got[4]
        final = bool(got[1] & 1)
        peer.send(frame(ACK, stream, len(back), struct.pack(">Q", 8192 + len(back)), flags=1 if final else 0))
    return back == data


def well_behaved(port: int, identity: Path) -> None:
    peer = HandMadePeer(port, identity)
    # docs/protocol.md §3.1, and §3.2: frames may be cut anywhere.
    check("a peer written after docs/protocol.md gets a lane", peer.ask_lane() == 101)
    check("and carries a stream", echo_stream(peer, 2))
    check("and one whose frames arrive in pieces of 7 bytes", echo_stream(peer, 4, cut=7))
    peer.close()
    # docs/protocol.md §4.1
    check("a higher epoch resumes the session", peer.ask_lane() == 101 and echo_stream(peer, 6))
    check("an epoch that has been is refused with 409", peer.ask_lane(epoch=1) == 409)
    peer.close()


def hellos(port: int, identity: Path) -> None:
    peer = HandMadePeer(port, identity)
    tls = Tls(port, identity)
    good = peer.hello(tls, 1, 1)
    tls.close()
    # docs/protocol.md §4
    check("a proof of another connection is refused with 401", peer.ask_lane(hello=good) == 401)
    for whose, proven in (("of another epoch", lambda tls: peer.hello(tls, 2, 1)),
                          ("of another lane", lambda tls: peer.hello(tls, 1, 2)),
                          ("of the gateway's end", lambda tls: bytes(17) + peer.proof(tls, b"culvert/1 gateway", 1, 1))):
        # All of it is right but the proof, which is behind the first 17 bytes.
        status = peer.ask_lane(hello=lambda tls, proven=proven: peer.hello(tls, 1, 1)[:17] + proven(tls)[17:])
        check(f"a proof {whose} is refused with 401", status == 401, status)
    check("half a HELLO is refused with 400", peer.ask_lane(hello=good[:20]) == 400)
    check("an empty HELLO is refused with 400", peer.ask_lane(hello=b"") == 400)
    check("another version is refused with 400", peer.ask_lane(hello=b"\x02" + good[1:]) == 400)
    _, body = peer.refusal
    check("and told the one that is spoken", body["protocols"] == [1] and body["error"]["code"] == "usage_invalid", body)
    check("whatever its HELLO looks like behind the version", peer.ask_lane(hello=b"\x09") == 400
          and peer.refusal[1].get("protocols") == [1], peer.refusal)
    # docs/protocol.md §3.1
    check("bytes behind the request are refused with 400", peer.ask_lane(behind=open_frame(2, "echo")) == 400)
    peer.session = bytes(8)
    check("an unknown session is refused with 404", peer.ask_lane() == 404)


def rule_breakers(pair: LocalPair, port: int, identity: Path) -> None:
    opened = open_frame(2, "echo")
    long_value = tlv(1, b"echo") + tlv(2, b"192.0.2.7:51234") + tlv(200, bytes(1100))
    # docs/protocol.md §5.1 and §5.2 (frames), §6.1 (ids), §6.2 and §11 (OPEN), §6.3 (DATA), §8.1 (ACK), §7 (RECEIPT);
    # the numbers are those of §12.
    cases = [
        ("garbage", [bytes([255, 254]) * 400], (MALFORMED, UNKNOWN)),
        ("an enormous length", [frame(DATA, 2, 0, length=65535)], (MALFORMED,)),
        ("a frame type that nobody negotiated", [frame(99)], (UNKNOWN,)),
        ("the reserved type STATE", [frame(13)], (UNKNOWN, MALFORMED)),
        ("a flag that does not exist", [opened, frame(DATA, 2, 0, b"x", flags=128)], (MALFORMED,)),
        ("data for a stream never opened", [frame(DATA, 2, 0, b"x")], (IDS,)),
        ("an acknowledgement for a stream never opened", [frame(ACK, 40, 0, bytes(8))], (IDS,)),
        ("a stream with an id of the gateway's", [open_frame(3, "echo")], (IDS,)),
        ("a stream with an id far ahead", [open_frame(4_000_000, "echo")], (IDS,)),
        ("stream 0", [open_frame(0, "echo")], (MALFORMED, IDS)),
        ("OPEN without a target", [frame(OPEN, 2, 0, tlv(2, b"x"))], (MALFORMED,)),
        ("OPEN with a target that is no name", [open_frame(2, "../../etc")], (MALFORMED,)),
        ("OPEN with one value twice", [frame(OPEN, 2, 0, tlv(1, b"echo") * 2)], (MALFORMED,)),
        ("OPEN longer than its limit", [frame(OPEN, 2, 0, long_value)], (MALFORMED,)),
        ("bytes beyond the credit", [opened, frame(DATA, 2, 1 << 40, b"x" * 100)], (FLOW,)),
        ("two ends of one stream", [opened, frame(DATA, 2, 0, b"abc", flags=1), frame(DATA, 2, 3, b"de", flags=1)],
         (FINAL,)),
        ("an acknowledgement beyond what was sent", [opened, frame(ACK, 2, 1 << 30, struct.pack(">Q", 1 << 40))], (FLOW,)),
        ("credit that overflows", [opened, frame(ACK, 2, 0, struct.pack(">Q", (1 << 64) - 1))], (FLOW,)),
        ("a receipt beyond what was sent", [frame(RECEIPT, 0, 1 << 40)], (RECEIPTS,)),
    ]
    for name, frames, numbers in cases:
        peer = HandMadePeer(port, identity)
        check(f"{name}: a lane first", peer.ask_lane() == 101)
        peer.send(*frames)
        got = peer.wait_for(SESSION_END)
        check(f"{name}: the session ends with {got and got[3]} '{got and got[4].decode()}'",
              got is not None and got[0] == SESSION_END and got[3] in numbers and got[4], got)
        peer.close()
        check(f"{name}: it is over, 404", peer.ask_lane() == 404)
    wait_for_log(pair.gateway, "org=rude", "site=hand", "session ended", "WARN")
    check("the gateway's log names org and site", True)


def harmless(port: int, identity: Path) -> None:
    peer = HandMadePeer(port, identity)
    check("a lane", peer.ask_lane() == 101)
    peer.send(frame(DATA, 2, 0, bytes(1000))[:9])
    peer.close()
    # docs/protocol.md §3.3: whatever else ends a connection is a lost lane.
    check("half a header and a cut end nothing: the next lane resumes", peer.ask_lane() == 101 and echo_stream(peer, 2))
    # docs/protocol.md §6.1: dropped and counted.
    late = frame(DATA, 2, 0, b"late", flags=0), frame(ACK, 2, 10, bytes(8)), frame(RESET, 2, 64, b"late")
    peer.send(*late)
    check("late frames of a finished stream are dropped", echo_stream(peer, 4))
    peer.send(open_frame(6, "nobody"))
    got = peer.wait_for(RESET, OPENED)
    check("an unknown target resets its stream alone", got and got[0] == RESET and got[2:4] == (6, TARGET_UNKNOWN), got)
    check("and the next stream goes", echo_stream(peer, 8))
    peer.send(open_frame(10, "echo"))
    pieces = os.urandom(2000)  # docs/protocol.md §6.3; a gap too many is §8.5.
    for at in reversed(range(len(pieces))):
        peer.send(frame(DATA, 10, at, pieces[at:at + 1], flags=1 if at == len(pieces) - 1 else 0))
    back = b""
    while len(back) < len(pieces):
        got = peer.wait_for(DATA, RESET)
        if got is None or got[0] != DATA:
            break
        back += got[4]
    check("single bytes in reverse order come back in order, or end the session alone for too many gaps",
          back == pieces or (got and got[0] == SESSION_END and got[3] == GAPS), (len(back), got))
    peer.close()


main(scenario)
