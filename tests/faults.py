"""What can happen to the file, done for real."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def run(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(sql)

    return change


class Fault(NamedTuple):
    """What to do to the file, and what SQLite then says, as a regular expression."""

    do: Callable[[Path], object]
    reason: str


FAULTS = {
    "missing": Fault(Path.unlink, "No such file or directory"),
    "a folder": Fault(make_folder, "disk I/O error"),
    "empty": Fault(lambda path: os.truncate(path, 0), "no such table"),
    "foreign": Fault(lambda path: path.write_bytes(b"no database " * 1000), "not a database"),
    "truncated": Fault(lambda path: os.truncate(path, 5000), "malformed"),
    "without its table": Fault(run("DROP TABLE bulk_action_jobs"), "no such table"),
    "without a column": Fault(
        run("ALTER TABLE bulk_action_jobs RENAME COLUMN executed_at TO x"), "no such column"
    ),
}
