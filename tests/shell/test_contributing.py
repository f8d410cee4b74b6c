"""CONTRIBUTING.md's steps to add a member, followed on a copy of the project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from samples import TOKEN, Plant, url
from serving import FLASK_RUN, ROOT, serving, talk

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
STEPS = re.findall(r"^--- (.*)\n((?:\+.*\n)+) (.*)$", PAGE, re.MULTILINE)
COMMANDS = re.findall(r"(?m)^\$ (.*)", PAGE.partition("## Add a member")[2].partition("\n## ")[0])
SOME_TESTS = ".venv/bin/pytest -p no:cacheprovider tests/test_contract.py -k 'document or builder'"


def test_a_member_is_added_to_an_old_database(copy: Path, database: Path, plant: Plant) -> None:
    plant()
    shutil.copy(database, copy)
    for name in ("lib", "pyvenv.cfg"):
        (copy / ".venv" / name).symlink_to(Path(sys.prefix, name))
    for name, added, before in STEPS:
        text, lines = (copy / name).read_text("utf-8"), re.sub(r"(?m)^\+", "", added)
        assert f"\n{before}" in text, f"{name} has no line {before!r}"
        (copy / name).write_text(text.replace(f"\n{before}", f"\n{lines}{before}", 1), "utf-8")
    for command in COMMANDS:
        some = SOME_TESTS if command == "make test" else command
        subprocess.check_call(["bash", "-ec", some], cwd=copy)
    request = f"GET {url()} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with serving(*FLASK_RUN, settings={"FLASK_DATABASE": "jobs.db"}, cwd=copy) as server:
        answer = talk(server.port, request.encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["retry_count"] == 0
