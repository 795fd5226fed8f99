#!/usr/bin/env python3
"""The ceiling of lanes of an org is told when a session begins, and kept by the gateway when a lane asks to come in."""
from pathlib import Path

from support.hand_made_peer import HandMadePeer
from support.scenario import BIN, QUICK_END, LocalPair, check, main


def scenario(folder: Path) -> None:
    pair = LocalPair(folder)
    try:
        pair.start_new(settings=QUICK_END)
        pair.provider("org", "add", "few")
        token = pair.provider("join-token", "few", "hand").strip()
        identity = folder / "hand"
        pair.command(BIN / "culvert-agent", "join", token, "--data", identity)
        port = pair.line.target_port

        peer = HandMadePeer(port, identity)
        check("without a ceiling 32 lanes are told", peer.grant["limits"]["lanes"] == 32, peer.grant["limits"])
        pair.provider("limit", "set", "few", "--lanes", "2")
        peer = HandMadePeer(port, identity)
        check("the ceiling is told", peer.grant["limits"]["lanes"] == 2, peer.grant["limits"])
        check("the first lane comes in", peer.ask_lane() == 101)
        first = peer.lane
        check("and the second", peer.ask_lane(epoch=1, lane=2) == 101)
        # docs/protocol.md §3.6
        check("the third is refused with 429", peer.ask_lane(epoch=1, lane=3) == 429)
        headers, body = peer.refusal  # docs/rest-api.md §2
        check("and told when to come again", int(headers.get("retry-after", "0")) > 0
              and body["error"]["code"] == "lane_limit_reached", peer.refusal)
        pair.provider("limit", "set", "few", "--lanes", "3")
        check("it comes in when the ceiling was raised", peer.ask_lane(epoch=1, lane=3) == 101)
        pair.provider("limit", "set", "few", "--lanes", "1")
        check("a lane of a higher epoch comes in below any ceiling", peer.ask_lane(epoch=2) == 101)
        check("no other beside it", peer.ask_lane(epoch=2, lane=2) == 429)
        pair.provider("limit", "set", "few", "--lanes", "default")
        check("the gateway's own ceiling counts again", peer.ask_lane(epoch=2, lane=2) == 101)
        first.close()
        peer.close()
    finally:
        pair.stop()


main(scenario)
