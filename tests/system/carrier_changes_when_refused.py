#!/usr/bin/env python3
"""An agent asks for a WebSocket only after a clear refusal of Upgrade: culvert/1 by somebody who is not the gateway, or
because the upgrade got lost on the way; not after an overloaded front. Every request is small. What grants a lane without
the gateway's proof for this very connection gets none."""
import json
from typing import Callable

from support.play import Scenario, play
from support.proxied import pair_with_echo, set_section, wait_for_trouble
from support.scenario import check, log_of, wait_until
from support.tls_front import Seen, TlsFront, answer, key_of

GRANT = json.dumps({"session_id": "00000000000004d2", "session_secret": "ab" * 32, "resume_deadline_ms": 600000,
                    "limits": {"lanes": 4, "streams": 100}})
MINE = {"Culvert_Request_Id": "00000000000000aa"}
LOST = json.dumps({"error": {"code": "usage_invalid", "message": "no upgrade came", "request_id": "00000000000000aa"}})

# What is said to culvert/1, and whether a WebSocket is to be asked for then.
REFUSALS = [
    ("403 by a stranger", answer("403 Forbidden", "no"), True),
    ("426 by a stranger", answer("426 Upgrade Required", Upgrade="websocket"), True),
    ("200 by a stranger", answer("200 OK", "hello"), True),
    ("400 of the gateway: the upgrade got lost", answer("400 Bad Request", LOST, **MINE), True),
    ("503 of a front", answer("503 Service Unavailable"), False),
    ("502 of a front", answer("502 Bad Gateway"), False),
    ("409 of the gateway", answer("409 Conflict", LOST, **MINE), False),
    ("401 of the gateway", answer("401 Unauthorized", LOST, **MINE), False),
]


def scenario(scene: Scenario) -> None:
    with pair_with_echo(scene.folder) as (pair, _):
        pair.agent.stop()
        certificate, key = key_of(pair.gateway_dir)
        original = pair.agent_config.read_text()
        for name, refusal, changes in REFUSALS:
            front = TlsFront(certificate, key, lambda seen, said=refusal: reply(seen, said))
            pair.agent_config.write_text(original.replace(f"localhost:{pair.line.port}", f"localhost:{front.port}"))
            pair.start_agent()
            wait_until("three lanes were asked for", lambda: len(upgrades(front)) >= 3)
            pair.agent.stop()
            asked = [seen.header("Upgrade") for seen in upgrades(front)]
            check(f"{name}: the first upgrade is to culvert/1", asked[0] == "culvert/1", asked)
            if changes:
                check(f"{name}: the next one is to websocket", asked[1] == "websocket", asked)
                second = upgrades(front)[1]
                check("with what RFC 6455 wants", second.header("Sec-WebSocket-Version") == "13" and
                      len(second.header("Sec-WebSocket-Key")) == 24 and second.header("Culvert-Hello"), second.head)
            else:
                check(f"{name}: no WebSocket is asked for", set(asked) == {"culvert/1"}, asked)
            check("every request is below 1 KiB", max(seen.wire_bytes for seen in front.seen) < 1024,
                  [seen.wire_bytes for seen in front.seen])
            front.close()
        unproven(pair, original, certificate, key)
        fixed(pair, original, certificate, key)


def unproven(pair, original: str, certificate, key) -> None:
    """Whoever ends TLS can say 101 and send back what he was sent, even with the secret of the session."""
    for name, proof_of in (("the agent's own proof", lambda hello: hello[17:49]), ("no proof", lambda hello: bytes(32))):
        front = TlsFront(certificate, key, lambda seen, of=proof_of: reply(seen, grant(seen, of)))
        pair.agent_config.write_text(original.replace(f"localhost:{pair.line.port}", f"localhost:{front.port}"))
        pair.start_agent()
        error = wait_for_trouble(pair, "could not prove that it is the gateway")
        wait_until("another lane was asked for", lambda f=front: len(upgrades(f)) >= 2)
        pair.agent.stop()
        asked = {seen.header("Upgrade") for seen in upgrades(front)}
        check(f"101 with {name}: {error}", " up epoch=" not in log_of(pair.agent), pair.agent.log_end(30))
        check("and the carrier is not blamed for it", asked == {"culvert/1"}, asked)
        front.close()


def grant(seen: Seen, proof_of: Callable[[bytes], bytes]) -> bytes:
    """A 101 in which all but the proof is as it has to be (docs/protocol.md §4)."""
    hello = bytes.fromhex(seen.header("Culvert-Hello"))
    answered = hello[:17] + proof_of(hello) + hello[49:]
    return ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: culvert/1\r\n"
            f"Culvert-Hello: {answered.hex()}\r\n\r\n").encode()


def fixed(pair, original: str, certificate, key) -> None:
    for carrier, upgrade in (("culvert", "culvert/1"), ("websocket", "websocket")):
        front = TlsFront(certificate, key, lambda seen: reply(seen, REFUSALS[0][1]))
        pair.agent_config.write_text(original.replace(f"localhost:{pair.line.port}", f"localhost:{front.port}"))
        set_section(pair.agent_config, "transport", carrier=carrier)
        pair.start_agent()
        wait_until("three lanes were asked for", lambda f=front: len(upgrades(f)) >= 3)
        pair.agent.stop()
        asked = {seen.header("Upgrade") for seen in upgrades(front)}
        check(f"carrier = {carrier}: nothing else is tried", asked == {upgrade}, asked)
        front.close()


def upgrades(front: TlsFront) -> list[Seen]:
    return [seen for seen in list(front.seen) if "/lanes " in seen.first_line]


def reply(seen: Seen, refusal: bytes) -> bytes:
    if seen.first_line.startswith("POST /tunnel/v1/sessions "):
        return answer("201 Created", GRANT, **MINE)
    if "/lanes " in seen.first_line:
        return refusal
    return answer("404 Not Found", LOST, **MINE)


play(scenario)
