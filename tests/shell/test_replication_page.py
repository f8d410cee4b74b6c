"""docs/replication.md: its lines as they stand, with a stand-in for Litestream."""

import os
import re
import subprocess
from pathlib import Path

from samples import Patch, Plant, run
from serving import ROOT

PAGE = (ROOT / "docs" / "replication.md").read_text("utf-8")
REPLICATE, RESTORE = re.findall("^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DUMP = "sqlite3 jobs.db .dump"
STAND_IN = """#!/bin/sh
if [ $1 = restore ]; then test ! -e $3 && exec cp "${4#file://}" $3; exit 1; fi
sqlite3 $2 ".backup '${3#file://}'"
"""


def test_a_replica_takes_over_jobs_and_tokens_and_survives_a_failed_download(
    tmp_path: Path, database: Path, plant: Plant, monkeypatch: Patch
) -> None:
    (tmp_path / "litestream").write_text(STAND_IN)
    (tmp_path / "litestream").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    away, replica = tmp_path / "away", tmp_path / "replica"
    replica.mkdir()

    def sh(text: str, folder: Path) -> tuple[int, bytes]:
        command = ["bash", "-c", text.replace("REPLICA_URL", away.as_uri())]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=False)
        return done.returncode, done.stdout

    plant()
    for change in ("SELECT 1", "DELETE FROM tokens"):
        run(database, change)
        assert (sh(REPLICATE, tmp_path)[0], sh(RESTORE, replica)[0]) == (0, 0)
        assert sh(DUMP, replica) == sh(DUMP, tmp_path)
    away.unlink()
    assert sh(RESTORE, replica)[0] != 0
    assert sh(DUMP, replica) == sh(DUMP, tmp_path)
