"""The README's commands, run as they stand in a copy of the project, and their output."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from conftest import JOB, JOB_ID, TOKEN, Plant, line, url
from serving import ROOT, Server, free_port, serving

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


def test_the_commands_do_what_the_readme_shows(copy: Path, tmp_path: Path) -> None:
    ran = set()
    ports = {"5000": free_port(), "5001": free_port()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "FLASK_RUN_PORT": str(ports["5000"])}
    kept = tmp_path / "environment"
    with ExitStack() as servers:
        for command, output in [step for block in blocks() for step in block]:
            if command in INSTALLS:
                continue
            ran.add(command)
            here = re.sub("500[01]", lambda match: str(ports[match[0]]), command)
            if command in ("make run", "flask run", "flask run --port 5001 &"):
                if "&" not in command:
                    servers.close()  # this one takes the place of the one before
                port = ports["5001" if "5001" in command else "5000"]
                start = here.removesuffix(" &")
                server = Server("sh", "-c", start, port=port, cwd=copy, **environment)
                servers.callback(server.stop)
                server.wait_for_port()
            else:
                result = subprocess.run(
                    ["bash", "-c", f"set -a -e -o pipefail; {here}; env -0 > {kept}"],
                    cwd=copy,
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                assert not output or result.stdout == output
                pairs = kept.read_text().split("\0")[:-1]
                environment = dict(pair.split("=", 1) for pair in pairs)
    assert {"make run", "flask run", "flask run --port 5001 &"} < ran


def test_the_lines_of_python_mount_the_service(copy: Path, plant: Plant, database: Path) -> None:
    plant()
    database.rename(copy / "jobs.db")
    (copy / "tokens").write_text(line(TOKEN))
    text = (ROOT / "README.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code += f"""
client = dashboard.test_client()
job = client.get("/shield{url()}", headers={{"Authorization": "Bearer {TOKEN}"}})
print(job.json["job_id"], client.get("/shield/nothing").json["instance"])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{JOB_ID} /shield/nothing\n"


def test_the_demos_line_works_when_pasted(copy: Path) -> None:
    with serving(cwd=copy) as server:
        match = re.search("Try: (curl .*)", server.output())
        assert match is not None
        answer = subprocess.run(match[1], shell=True, capture_output=True, check=True).stdout
    assert JOB.keys() - json.loads(answer).keys() == {"completed_at"}


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


def test_the_figures_are_those_of_the_benchmark() -> None:
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8").splitlines()
    quoted = [line for line in readme if re.match(r"`make bench`, |\| .+ \| [0-9.,]+ \| ", line)]
    assert len(quoted) > 15
    assert set(quoted) <= set(results)
