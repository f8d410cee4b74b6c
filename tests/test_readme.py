"""The README's commands, run as they stand in a copy of the project, and their output."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from serving import ROOT, free_port, wait_for

# What would install anew or run this very test: `.ci/run` runs these.
INSTALLS = {
    "make test",
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "pip install -r requirements.txt",
    "pytest",
}


def blocks() -> list[list[tuple[str, str]]]:
    """Return the README's console blocks: of each, its commands with their output."""
    text = (ROOT / "README.md").read_text("utf-8")
    return [
        re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
        for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@contextmanager
def running(command: str, copy: Path, port: int) -> Iterator[None]:
    server = subprocess.Popen(
        command,
        shell=True,
        cwd=copy,
        env=environment(port),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(port, server)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate()


def environment(port: int) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "FLASK_RUN_PORT": str(port)}


def test_the_commands_do_what_the_readme_shows(copy: Path) -> None:
    ran = set()
    with ExitStack() as servers:
        port = free_port()
        for command, output in [step for block in blocks() for step in block]:
            if command in INSTALLS:
                continue
            ran.add(command)
            if command.endswith(("make run", "flask run")):
                servers.close()  # the next one takes its place
                servers.enter_context(running(command, copy, port))
            else:
                result = subprocess.run(
                    command.replace(":5000", f":{port}"),
                    shell=True,
                    cwd=copy,
                    env=environment(port),
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                assert not output or result.stdout == output
    assert {"make run", "flask run"} < ran
