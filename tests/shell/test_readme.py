"""The README's commands, run as they stand in a copy of the project, and their output."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serving import README, ROOT, Server, free_port, serving, wait_until

# What would install anew, need another machine or run this very test: `.ci/run` runs these.
ELSEWHERE = r"(make (?!run)|python3? -m venv|\. \.venv|pip |pytest|docker|podman|git |kill )"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]{5})"  # of the demo: of today


def commands() -> list[tuple[str, str]]:
    """Return the commands of the README's console blocks, each with the output below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", "".join(blocks), re.MULTILINE)


def paste(server: Server) -> bytes:
    """Run the command that `flask run` prints."""
    wait_until(lambda: "Try: " in server.output())
    return subprocess.check_output(re.findall("Try: (.*)", server.output())[0], shell=True)


def test_the_commands_do_what_the_readme_shows(copy: Path, tmp_path: Path) -> None:
    ports = {"5000": free_port(), "5001": free_port()}
    kept = tmp_path / "environment"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    statuses = []
    with ExitStack() as running:
        for command, output in commands():
            if re.match(ELSEWHERE, command):
                continue
            here = re.sub(r"\b500[01]\b", lambda match: str(ports[match[0]]), command)
            shell = ["bash", "-c", here.removesuffix(" &")]
            options: dict[str, Any] = {"cwd": copy, "env": environment, "text": True}
            if command == "flask run --port 5001 &":
                started = serving(*shell, settings=environment, port=ports["5001"], cwd=copy)
                running.enter_context(started)
            elif command in ("make run", "flask run"):
                running.close()  # this one takes the place of the one before
                started = serving(*shell, settings=environment, port=ports["5000"], cwd=copy)
                statuses.append(json.loads(paste(running.enter_context(started)))["status"])
            elif command.endswith("&"):
                running.enter_context(subprocess.Popen(shell, **options))
            else:
                shell[2] = f"set -a -e -o pipefail; {here}; env -0 > {kept}"
                result = subprocess.run(shell, check=True, stdout=subprocess.PIPE, **options)
                assert not output or re.sub(TIME, "", result.stdout) == re.sub(TIME, "", output)
                pairs = kept.read_text().split("\0")[:-1]
                environment = dict(pair.split("=", 1) for pair in pairs)
    assert statuses == ["running"]


def test_the_sqlite3_shell_makes_the_same_table(tmp_path: Path, database: Path) -> None:
    other = tmp_path / "other.db"
    subprocess.run(f"sqlite3 '{other}' < schema.sql", shell=True, check=True, cwd=ROOT)
    ask = ["PRAGMA journal_mode", ".dump"]
    made, expected = (subprocess.check_output(["sqlite3", db, *ask]) for db in (other, database))
    assert made == expected
