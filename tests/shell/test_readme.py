"""The README's commands, run as they stand in a copy of the project, and their output."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from serving import ROOT, Server, free_port, serving

# What would install anew, need another machine or run this very test: `.ci/run` runs these.
ELSEWHERE = r"(make (?!run)|python3? -m venv|\. \.venv|pip |pytest|docker|podman|git |kill )"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]{5})"  # of the demo: of today


def commands() -> list[tuple[str, str]]:
    """Return the commands of the README's console blocks, each with the output below it."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", "".join(blocks), re.MULTILINE)


def test_the_commands_do_what_the_readme_shows(copy: Path, tmp_path: Path) -> None:
    ports = {"5000": free_port(), "5001": free_port()}
    kept = tmp_path / "environment"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FLASK_RUN_PORT": str(ports["5000"]),
    }
    started = 0
    with ExitStack() as running:
        for command, output in commands():
            if re.match(ELSEWHERE, command):
                continue
            here = re.sub(r"\b500[01]\b", lambda match: str(ports[match[0]]), command)
            shell = ["bash", "-c", here.removesuffix(" &")]
            if command.startswith(("make run", "flask run")):
                if "&" not in command:
                    running.close()  # this one takes the place of the one before
                port = ports["5001" if "5001" in command else "5000"]
                server = Server(*shell, port=port, cwd=copy, **environment)
                running.callback(server.stop)
                server.wait_for_port()
                started += 1
            elif command.endswith("&"):
                running.enter_context(subprocess.Popen(shell, cwd=copy, env=environment))
            else:
                shell[2] = f"set -a -e -o pipefail; {here}; env -0 > {kept}"
                options: dict[str, Any] = {"cwd": copy, "env": environment, "text": True}
                result = subprocess.run(shell, check=True, stdout=subprocess.PIPE, **options)
                assert not output or re.sub(TIME, "", result.stdout) == re.sub(TIME, "", output)
                pairs = kept.read_text().split("\0")[:-1]
                environment = dict(pair.split("=", 1) for pair in pairs)
    assert started > 1


def test_the_command_that_flask_run_prints_works_when_pasted(copy: Path) -> None:
    with serving(cwd=copy) as server:
        pasted = server.output().partition("Try: ")[2].partition("\n")[0]
        answer = subprocess.run(pasted, shell=True, capture_output=True, check=True).stdout
    assert json.loads(answer)["status"] == "running"


def test_the_sqlite3_shell_makes_the_same_table(tmp_path: Path, database: Path) -> None:
    other = tmp_path / "other.db"
    with (ROOT / "schema.sql").open() as schema:
        subprocess.run(["sqlite3", other], stdin=schema, check=True, stdout=subprocess.DEVNULL)
    dumps = []
    for path in (other, database):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            dumps.append(list(connection.iterdump()))
    assert dumps[0] == dumps[1]
