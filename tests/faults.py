"""What can happen to the file, done for real."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from store import COLUMNS


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5000)


def overwrite(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def run(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(sql)

    return change


def loosen(path: Path) -> None:
    """Make the table anew as another producer might: of any types, empty."""
    run("DROP TABLE bulk_action_jobs")(path)
    run(f"CREATE TABLE bulk_action_jobs ({', '.join(COLUMNS)})")(path)


class Fault(NamedTuple):
    """What to do to the file, and what SQLite then says, as a regular expression."""

    do: Callable[[Path], object]
    reason: str


FAULTS = {
    "missing": Fault(Path.unlink, "No such file or directory"),
    "a folder": Fault(make_folder, "disk I/O error"),
    "empty": Fault(overwrite(b""), "no such table"),
    "foreign": Fault(overwrite(b"not a database" * 1000), "not a database"),
    "truncated": Fault(cut, "malformed"),
    "without its table": Fault(run("DROP TABLE bulk_action_jobs"), "no such table"),
    "without a column": Fault(
        run("ALTER TABLE bulk_action_jobs RENAME COLUMN executed_at TO x"), "no such column"
    ),
}
