#!/usr/bin/env python3
"""Which folder may include what: the arrows of ARCHITECTURE.md, checked on the include lines themselves."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A folder and what it may include besides itself. The longest matching prefix decides.
BASE, WIRE, MUX = "tunnel-core/base", "tunnel-core/wire", "tunnel-core/mux"
OBS, DAEMON, NET = "tunnel-core/obs", "tunnel-core/daemon", "tunnel-core/net"
MAY_INCLUDE = {
    BASE: [],
    WIRE: [BASE],
    MUX: [BASE, WIRE],
    OBS: [BASE],
    DAEMON: [BASE, OBS],
    NET: [BASE, WIRE, MUX, OBS],
    "certs": [BASE, OBS, DAEMON],
    "firewall-vib": [BASE, OBS, DAEMON],
    "cloud-api-client": [BASE, OBS, DAEMON, "certs"],
    "tunnel-agent": ["tunnel-core", "certs", "cloud-api-client", "firewall-vib"],
    "cloud-gateway": ["tunnel-core", "certs", "firewall-vib"],
}
UNBOUND = ["tests", "bench", "deploy"]  # May include anything of the project.

# The protocol does no I/O and reads no clock: none of these in base, wire and mux.
CORE = [BASE, WIRE, MUX]
NOT_IN_CORE = re.compile(
    r"(boost|cpprest|pplx|spdlog|fmt|openssl|soci|nlohmann|toml\+\+|CLI|systemd)/"
    r"|(sys/(socket|epoll|select|uio)|netinet/.*|arpa/.*|poll|netdb|pthread)\.h"
    r"|(thread|mutex|shared_mutex|condition_variable|future|fstream|iostream|filesystem)$")
CLOCK_READ = re.compile(r"\b(steady|system|high_resolution)_clock::now\b|\bclock_gettime\b|\bgettimeofday\b")
# Libraries that one source file keeps to itself.
HERMITS = [
    (re.compile(r"(cpprest|pplx)/"), "cpprest", "cloud-api-client/src/rest_transport.cpp"),
    (re.compile(r"curl/"), "libcurl", "cloud-api-client/src/connect_exchange.cpp"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def owner(path: str, folders) -> str | None:
    hits = [f for f in folders if path == f or path.startswith(f + "/")]
    return max(hits, key=len) if hits else None


def check_file(file: Path) -> list[str]:
    path = file.relative_to(ROOT).as_posix()
    home = owner(path, MAY_INCLUDE)
    in_core = home in CORE
    mistakes = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        at = f"{path}:{number}"
        if in_core and CLOCK_READ.search(line):
            mistakes.append(f"{at}: reads a clock; the core gets its instants handed in")
        found = INCLUDE.match(line)
        if not found:
            continue
        quoted, name = found.group(1) == '"', found.group(2)
        for library, known_as, cave in HERMITS:
            if library.match(name) and path != cave:
                mistakes.append(f"{at}: includes {name}; {known_as} stays in {cave}")
        if in_core and NOT_IN_CORE.match(name):
            mistakes.append(f"{at}: includes {name}; {home} does no I/O, threads or logging;"
                            " put this into tunnel-core/net or obs")
        if not quoted:
            continue
        if not (ROOT / name).exists() and "/" not in name:
            mistakes.append(f'{at}: "{name}" is not a path from the repository root')
            continue
        target = owner(name, list(MAY_INCLUDE) + UNBOUND)
        if home is None or target is None or target == home:
            continue
        if owner(name, MAY_INCLUDE[home]) is None:
            allowed = ", ".join(MAY_INCLUDE[home]) or "nothing of the project"
            mistakes.append(f"{at}: {home} includes {target}; it may include {allowed}")
    return mistakes


def main() -> int:
    mistakes = []
    files = 0
    for folder in sorted({f.split("/")[0] for f in MAY_INCLUDE} | set(UNBOUND)):
        for file in sorted((ROOT / folder).rglob("*.[ch]pp")):
            files += 1
            mistakes += check_file(file)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    print(f"layers: {files} files, {len(mistakes)} mistakes")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
