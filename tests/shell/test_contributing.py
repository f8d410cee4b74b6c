"""CONTRIBUTING.md, followed on a copy of the project."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from flask.testing import FlaskClient
from serving import FLASK_RUN, ROOT, serving, talk

import demo
import openapi
import store

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a member")[2]
STEPS = re.findall(r"^--- (.*)\n((?:\+.*\n)+) (.*)$", PAGE, re.MULTILINE)
COMMANDS = re.findall(r"^\$ (.*)", PAGE, re.MULTILINE)


@pytest.fixture
def project(copy: Path) -> Path:
    """Return a copy of the project, and a database made before the change."""
    store.create(copy / "jobs.db", demo.jobs(openapi.MOMENT))
    return copy


def follow(project: Path, without: str = "") -> None:
    """Put the lines of each step but one before those that begin as its last line does."""
    for name, lines, before in STEPS:
        text = (project / name).read_text("utf-8")
        assert f"\n{before}" in text, f"{name} has no line {before!r}"
        if name != without:
            new = text.replace(f"\n{before}", f"\n{lines.replace('+', '')}{before}")
            (project / name).write_text(new, "utf-8")


def test_a_member_is_added_and_served_from_an_old_database_as_it_says(project: Path) -> None:
    follow(project)
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # saves a second
    for command in COMMANDS:
        subprocess.run(command, shell=True, cwd=project, check=True, env=bare)
    settings = {"FLASK_DATABASE": project / "jobs.db", "FLASK_TOKENS_FILE": demo.TOKENS_FILE}
    url = f"/api/actions/bulk/jobs/{demo.job_id(1)}"
    request = f"GET {url} HTTP/1.0\r\nAuthorization: Bearer {demo.TOKEN}\r\n\r\n"
    with serving(*FLASK_RUN, settings=settings, cwd=project) as server:
        answer = talk(server.port, request.encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["retry_count"] == 0


@pytest.mark.parametrize("name", [name for name, *_ in STEPS if "/" not in name])
def test_a_step_left_out_is_told_in_one_line(project: Path, name: str) -> None:
    follow(project, without=name)
    told = subprocess.run(COMMANDS[0], shell=True, cwd=project, stderr=subprocess.PIPE, text=True)
    assert re.fullmatch(r"Error: .*\bretry_count\b.*\n", told.stderr)


def test_the_changelog_and_the_contract_have_one_version(client: FlaskClient) -> None:
    latest = re.search(r"^## \[([0-9].*)\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest
    assert yaml.safe_load(client.get("/openapi.yaml").text)["info"]["version"] == latest[1]
