"""An agent that goes through a proxy: settings of agent.toml, and proofs that bytes really take that way."""
from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from local_pair import LocalPair, wait_until
from support.tcp import Echo, echoes, source


def set_section(config: Path, section: str, **keys: object) -> None:
    """Sets keys of a section of agent.toml, and takes back what an earlier call has set there."""
    head = f"[{section}]"
    lines, kept = config.read_text().splitlines(), []
    inside = False
    for line in lines:
        if line.startswith("["):
            inside = line == head
        elif inside and line and not line.startswith("#"):
            continue
        kept.append(line)
        if line == head:
            kept += [f"{key} = '{value}'" for key, value in keys.items()]
    config.write_text("\n".join(kept) + "\n")


def secret(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_text(content + "\n")
    file.chmod(0o600)
    return file


def session_state(pair: LocalPair) -> str:
    return pair.status()["session"]["state"]


def restart_agent(pair: LocalPair, **proxy: object) -> None:
    if pair.agent is not None:
        pair.agent.stop()
    set_section(pair.agent_config, "proxy", **proxy)
    pair.start_agent()


def wait_for_session(pair: LocalPair, seconds: float = 30) -> None:
    wait_until("a session through the proxy", lambda: session_state(pair) == "up", seconds)


def wait_for_trouble(pair: LocalPair, *pieces: str, seconds: float = 30) -> str:
    """The session's error, once it holds all the pieces."""
    found: list[str] = []

    def named() -> bool:
        error = pair.status()["session"]["error"] or ""
        found[:] = [error]
        return all(piece in error for piece in pieces)

    try:
        wait_until(f"an error with {pieces}", named, seconds)
    except Exception as error:
        raise type(error)(f"{error}; last: {found}") from None
    return found[0]


@contextmanager
def pair_with_echo(folder: Path, settings: Optional[dict] = None) -> Iterator[tuple[LocalPair, int]]:
    """A pair with a forward to an echo, joined directly; yields it with the forward's port."""
    pair, echo = LocalPair(folder / "pair"), Echo()
    try:
        pair.start_new({'# drain_timeout = "30 s"': 'drain_timeout = "1 s"', **(settings or {})})
        yield pair, pair.add_forward("echo", echo.port)
    finally:
        pair.stop()
        echo.close()


def carries(port: int, size: int = 100_000) -> bool:
    with source(port) as stream:
        return echoes(stream, size)
