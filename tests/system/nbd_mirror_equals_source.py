#!/usr/bin/env python3
"""A disk image goes to an NBD server behind the tunnel and back again; the line is cut on the way there and stalled on
the way back, and QEMU finds all three images equal."""
import time

from support.play import Scenario, play

from demo import MIB, compare, convert, cut_and_mend, make_image, serve_disk
from local_pair import wait_until

SIZE_MIB = 256
STALL_SECONDS = 3  # Longer than a lane may be silent before it is given up.


def scenario_body(scenario: Scenario) -> None:
    pair = scenario.start_pair()
    source, mirror, back = (scenario.folder / f"{name}.raw" for name in ("source", "mirror", "back"))
    make_image(source, SIZE_MIB)
    for image in (mirror, back):
        with open(image, "wb") as empty:
            empty.truncate(SIZE_MIB * MIB)
    server, server_port = serve_disk(mirror, scenario.folder / "qemu-nbd.log")
    scenario.keep(server)
    url = f"nbd://127.0.0.1:{pair.add_forward('disk', server_port)}/disk"

    convert(str(source), url, scenario.folder / "there.log", lambda: cut_and_mend(pair, 1))
    compare(source, mirror)
    scenario.note("the mirror equals its source; the line was cut half-way")

    def stall_and_mend() -> None:
        pair.line.stall()
        time.sleep(STALL_SECONDS)  # The length of the outage is what is tried.
        pair.line.mend()
        wait_until("the session's return", lambda: pair.status()["session"]["state"] == "up", 15)

    convert(url, str(back), scenario.folder / "back.log", stall_and_mend)
    compare(source, back)
    scenario.note("what was read back equals it too; the line was stalled half-way")
    scenario.check("no stream was reset", pair.status()["streams"]["reset_total"] == 0, pair.status()["streams"])


if __name__ == "__main__":
    play(scenario_body, needs=("qemu-img", "qemu-nbd"))
