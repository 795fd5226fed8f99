"""An HTTP proxy at the near end of the emulated line, one for each agent, that ends the connections it carries when it is
told to. bench cuts has AgentProxy; the program behind it is this file as well:

    cutting_proxy.py    # prints 'ready PORT' and ends with stdin

Commands come by stdin, one a line, and each is answered by one JSON line, as wan-line's are:

    flows            connections that it carries
    close FLOW...    ends them in order: a FIN to both ends
    reset FLOW...    a TCP reset to both ends
"""
from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from wan_peers import BIN, Agent, Gateway, PairError, Process, wait_until
from wan_line import WanLine


class AgentProxy:
    """The agent goes through it from here on. Of one thread at a time."""

    def __init__(self, line: WanLine, gateway: Gateway, agent: Agent):
        self._program = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *line.near, sys.executable,
                                          str(Path(__file__).resolve())],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            first = self._program.stdout.readline().split()
            if not first:
                raise PairError(f"the proxy of agent {agent.number} could not begin")
            text = agent.config.read_text()
            agent.config.write_text(text.replace("[proxy]\n", f'[proxy]\nurl = "http://127.0.0.1:{first[1]}"\n'))
            agent.process.stop()
            agent.process = Process([*line.near, *gateway.words, str(BIN / "culvert-agent"), "run", "--config",
                                     str(agent.config)], gateway.folder / f"agent-{agent.number}.log", ready="ready")
            wait_until(f"the session of agent {agent.number} through its proxy",
                       lambda: agent.status()["session"]["state"] == "up" and bool(self.flows()))
        except BaseException:
            self.stop()
            raise

    def tell(self, command: str) -> dict:
        self._program.stdin.write(command + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        if not answer:
            raise PairError(f"a proxy ended with {self._program.wait()} before it answered '{command}'")
        return json.loads(answer)

    def flows(self) -> list[dict]:
        """Oldest first."""
        return self.tell("flows")["flows"]

    def stop(self) -> None:
        self._program.kill()
        self._program.wait()


class Proxy:
    """CONNECT and nothing else. All in one thread: a connection that another thread is reading would not end when it is
    closed, but when that thread has read something. Without Nagle's algorithm, as asyncio has it: chunks would wait."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._flows: dict[int, tuple[int, tuple[asyncio.StreamWriter, ...]]] = {}  # When it began, us, and both ends.

    async def serve(self, from_near: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        begun_us = time.monotonic_ns() // 1000
        try:
            head = await from_near.readuntil(b"\r\n\r\n")
            host, _, port = head.split()[1].decode().rpartition(":")
            from_far, far = await asyncio.open_connection(host, int(port))
        except (OSError, asyncio.IncompleteReadError):
            return near.close()
        near.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        number = next(self._numbers)
        self._flows[number] = begun_us, (near, far)
        pumps = [asyncio.create_task(pump(from_near, far)), asyncio.create_task(pump(from_far, near))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        self._flows.pop(number, None)
        near.close()
        far.close()

    def cut(self, numbers: list[int], reset: bool) -> int:
        """How many of them it still carried."""
        found = [self._flows.pop(number) for number in numbers if number in self._flows]
        for end in itertools.chain(*(ends for _, ends in found)):
            if reset:
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.transport.abort()
            else:
                end.close()
        return len(found)

    async def obey(self) -> None:
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            verb, *numbers = line.decode().split()
            answer: dict = {"ok": True, "at_us": time.monotonic_ns() // 1000}
            if verb == "flows":
                answer["flows"] = [{"flow": number, "begun_us": begun_us} for number, (begun_us, _) in self._flows.items()]
            else:
                answer["count"] = self.cut([*map(int, numbers)], reset=verb == "reset")
            print(json.dumps(answer), flush=True)


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
    except OSError:
        pass  # One of the ends is gone; the other one follows.


async def main() -> None:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await proxy.obey()


if __name__ == "__main__":
    asyncio.run(main())
