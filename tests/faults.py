"""What can happen to the file, done for real."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from samples import run


class Fault(NamedTuple):
    """What to do to the file, and what the log then says, as a regular expression."""

    do: Callable[[Path], object]
    reason: str


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def sql(text: str) -> Callable[[Path], None]:
    return lambda path: run(path, text)


ADDS = "sqlite3 FILE < schema.sql, or flask jobs init, adds it"
OTHER = ": another version made it"
FAULTS = {
    "missing": Fault(Path.unlink, "flask jobs init makes it; without FLASK_DATABASE a start"),
    "a folder": Fault(make_folder, "name a file; each part"),
    "empty": Fault(lambda path: os.truncate(path, 0), f"no such table: .*: {ADDS}"),
    "foreign": Fault(lambda path: path.write_bytes(b"no database " * 1000), "not a database: name"),
    "truncated": Fault(lambda path: os.truncate(path, 5000), "malformed: .* put a whole copy"),
    "no jobs": Fault(sql("DROP TABLE bulk_action_jobs"), f"table: bulk_action_jobs: {ADDS}"),
    "no tokens": Fault(sql("DROP TABLE tokens"), f"no such table: tokens: {ADDS}"),
    "no max_limit": Fault(sql("ALTER TABLE bulk_action_jobs DROP max_limit"), f"max_limit{OTHER}"),
    "no expires_at": Fault(sql("ALTER TABLE tokens RENAME expires_at TO x"), f"expires_at{OTHER}"),
}
