#!/usr/bin/env python3
"""Words with their replacement, long lines, long files, and notes to self without an issue.

A line that has to say a word anyway (it quotes someone else's name, say) carries `text-ok: reason`.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = {".cpp", ".hpp", ".py", ".sh", ".cmake", ".service", ".sql"}
PROSE = {".md"}
MAX_COLUMNS = {".py": 130}
MAX_COLUMNS_ELSE = 120
MAX_LINES = 400
MAX_TEST_LINES = 600  # Cases beside each other; there is no second main type to look for.

# (word, say instead, folders it counts in or () for all). One word per idea, everywhere.
WORDS = [
    (r"re-?connect(s|ed|ing|ion)?", "resume (new lanes, no byte lost) or dial again", ()),
    (r"throttl(e|es|ed|ing)", "backpressure, or rate limit where it is a configured rate", ()),
    (r"(in|out)bound (tunnel|forward|stream)s?", "forward or reverse forward", ()),
    (r"enrol(l)ments?", "enrolment", ()),
    (r"registrations?", "enrolment", ("tunnel-agent", "cloud-gateway", "cloud-api-client", "certs")),
    (r"tenants?", "org", ("tunnel-core", "tunnel-agent", "cloud-gateway", "cloud-api-client", "certs")),
    (r"packets?", "frame", ("tunnel-core/wire", "tunnel-core/mux")),
    (r"channels?", "lane", ("tunnel-core/wire", "tunnel-core/mux", "tunnel-core/net")),
    (r"quotas?", "window, credit", ("tunnel-core/wire", "tunnel-core/mux")),
    (r"black-?lists?", "deny list", ()),
    (r"white-?lists?", "allow list", ()),
    (r"for now|placeholder|not implemented", "finished work, or an issue", ()),
]
RULES = [(re.compile(rf"\b{word}\b", re.IGNORECASE), word, say, where) for word, say, where in WORDS]
NOTE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")


def files() -> list[Path]:
    if (ROOT / ".git").exists():
        try:
            names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True,
                                   text=True).stdout.split("\0")
            return [ROOT / name for name in names if name and (ROOT / name).exists()]
        except (OSError, subprocess.CalledProcessError):
            pass  # No git here: walk.
    return [f for f in ROOT.rglob("*")
            if f.is_file() and not re.match(r"(build|out|\.git)", f.relative_to(ROOT).parts[0])]


def check_file(file: Path) -> list[str]:
    path = file.relative_to(ROOT).as_posix()
    if path == "scripts/check_text.py":
        return []  # It has to name the words.
    mistakes = []
    lines = file.read_text(encoding="utf-8").splitlines()
    most = MAX_TEST_LINES if path.startswith("tests/") else MAX_LINES
    if file.suffix in CODE and len(lines) > most:
        mistakes.append(f"{path}: {len(lines)} lines, at most {most}; is there a second main type in it?")
    columns = MAX_COLUMNS.get(file.suffix, MAX_COLUMNS_ELSE)
    for number, line in enumerate(lines, 1):
        at = f"{path}:{number}"
        if file.suffix in CODE and len(line) > columns and 'R"' not in line:  # A raw string cannot be cut.
            mistakes.append(f"{at}: {len(line)} columns; at most {columns}")
        if "text-ok:" in line:
            continue
        if NOTE.search(line):
            mistakes.append(f"{at}: {NOTE.search(line).group(1)} without an issue; write TODO(#12) or do it")
        for pattern, _, say, where in RULES:
            found = pattern.search(line)
            if found and (not where or any(path.startswith(folder + "/") for folder in where)):
                mistakes.append(f"{at}: '{found.group(0)}'; say: {say}")
    return mistakes


def main() -> int:
    mistakes, count = [], 0
    for file in sorted(files()):
        if file.suffix in CODE | PROSE or file.name in ("dev", "CMakeLists.txt"):
            count += 1
            mistakes += check_file(file)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    print(f"text: {count} files, {len(mistakes)} mistakes")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
