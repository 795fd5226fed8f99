#!/usr/bin/env python3
"""The man page of a program, from nothing but the program's own --help.

    make_man.py PROGRAM VERSION "what it is" INCLUDE_FILE > PROGRAM.1

help2man renders the top-level help; the help of every subcommand follows as a section of its own. INCLUDE_FILE is
a help2man include with what no --help says (files, signals, see also). What all programs share stands here: EXIT_STATUS.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# The codes of tunnel-core/daemon/cli.hpp.
EXIT_STATUS = """\
[EXIT STATUS]
.TP
.B 0
Done.
.TP
.B 1
Failed: one line on standard error says what went wrong and what to do. A command that examines something (doctor,
verify) also ends so when it has found a fault.
.TP
.B 2
The command line, the configuration or a joining string is wrong, or others can read or change a file that must be
private. The same command fails again until that is mended.
"""


def help_of(command: list[str]) -> str:
    text = subprocess.run(command + ["--help"], check=True, capture_output=True, text=True, timeout=30).stdout
    return text.replace(command[0], Path(command[0]).name)


def subcommands(text: str) -> list[str]:
    """The names in the `Subcommands:` part of a CLI11 help."""
    part = re.search(r"^Subcommands:\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    return re.findall(r"^ {2}([a-z][a-z-]*)\b", part.group(1), re.MULTILINE) if part else []


def walk(program: str, path: list[str]) -> list[tuple[list[str], str]]:
    text = help_of([program, *path])
    below = [name for name in subcommands(text) if name != "help"]
    found = [(path, text)] if path and not below else []
    for name in below:
        found += walk(program, [*path, name])
    return found


def preformatted(text: str) -> str:
    escaped = text.rstrip().replace("\\", "\\e").replace("-", "\\-")
    lines = ["\\&" + line if line[:1] in (".", "'") else line for line in escaped.splitlines()]
    return "\n".join([".nf", *lines, ".fi"])


def main(program: str, version: str, what: str, include: str) -> int:
    name = Path(program).name
    described, _, example = help_of([program]).partition("\nExample:")
    sections = ["[EXAMPLES]", preformatted(example.strip("\n"))] if example else []
    sections.append("[COMMANDS]")
    for path, text in walk(program, []):
        sections += [f".SS {name} {' '.join(path)}", preformatted(text)]
    with tempfile.TemporaryDirectory() as folder:
        extra = Path(folder, "include.h2m")
        text = "\n".join([Path(include).read_text(encoding="utf-8"), EXIT_STATUS, *sections, ""])
        extra.write_text(text, encoding="utf-8")
        # help2man runs a program: this one says the help without its examples, which it would run together.
        speaker = Path(folder, name)
        speaker.write_text(f"#!/bin/sh\ncat <<'THE_END'\n{described}\nTHE_END\n", encoding="utf-8")
        speaker.chmod(0o755)
        page = subprocess.run(
            ["help2man", "--no-info", "--no-discard-stderr", "--section=1", f"--name={what}",
             f"--version-string={version}", f"--source=culvert {version}", "--manual=Culvert",
             f"--include={extra}", str(speaker)],
            check=True, capture_output=True, text=True, timeout=60,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}).stdout
    sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(main(*sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        print(f"make_man: {' '.join(error.cmd)} failed: {(error.stderr or '').strip()}", file=sys.stderr)
        sys.exit(1)
