#!/usr/bin/env python3
"""Every resume is authorised anew: a site that was removed while its line was cut gets nothing back. Its target is reset at
once, what its source gave during the cut never arrives, its source is reset, and the agent is told to join again. Who asks
for a lane of the old session all the same is told that the site is gone, not that the session is."""
import socket

from support.hand_made_peer import HandMadePeer
from support.play import Scenario, play
from support.scenario import BIN
from local_pair import wait_until

BEFORE, DURING = b"before the cut", b"during the cut"


def is_reset(end: socket.socket) -> bool:
    """Nothing comes any more but a reset."""
    try:
        return end.recv(64) is None
    except ConnectionResetError:
        return True


def scenario(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        port = pair.add_forward("kept", listener.getsockname()[1])
        source = scenario.stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        source.sendall(BEFORE)
        target = scenario.stack.enter_context(listener.accept()[0])
    target.settimeout(5)
    source.settimeout(5)
    scenario.check("a stream carries bytes", target.recv(64) == BEFORE)
    pair.line.cut()
    wait_until("the session without lanes", lambda: pair.status()["session"]["state"] != "up")
    source.sendall(DURING)
    pair.provider("site", "remove", "demo", "here")
    scenario.check("the target is reset while the line is still cut", is_reset(target))
    pair.line.mend()
    scenario.check("the source is reset when the line is back", is_reset(source))
    wait_until("the agent told to join again", lambda: "join again" in (pair.status()["session"]["error"] or ""))
    scenario.check("the gateway has no session of it", '"sessions":[]' in pair.provider("status", "--json").replace(" ", ""))
    asks_all_the_same(scenario)


def asks_all_the_same(scenario: Scenario) -> None:
    """tests/unit/gateway/lane_admission_test.cpp has the moment in which the session is still there."""
    pair, identity = scenario.pair, scenario.folder / "hand"
    pair.command(BIN / "culvert-agent", "join", pair.provider("join-token", "demo", "hand").strip(), "--data", identity)
    peer = HandMadePeer(pair.line.target_port, identity)
    scenario.check("a lane of another site", peer.ask_lane() == 101)
    pair.provider("site", "remove", "demo", "hand")
    status = peer.ask_lane()
    scenario.check("once that is removed too, the next lane of its session is refused with 401 access_revoked",
                   status == 401 and peer.refusal[1]["error"]["code"] == "access_revoked", (status, peer.refusal))
    peer.close()


if __name__ == "__main__":
    play(scenario)
