"""The jobs and the tokens in their SQLite file: all their SQL, and no HTTP."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from schemas import MEMBERS, Job

_NAMES = ", ".join(MEMBERS)
_GET = f"SELECT {_NAMES} FROM bulk_action_jobs WHERE job_id = ?"
_OF_STATUS = "FROM bulk_action_jobs WHERE :status IS NULL OR status = :status"
_NEWEST = f"""SELECT {_NAMES} {_OF_STATUS}
    ORDER BY julianday(replace(upper(updated_at), ':60', ':59')) DESC, updated_at DESC, job_id
    LIMIT :limit"""
_COUNT = f"SELECT count(*) {_OF_STATUS}"
_PUT = f"""INSERT INTO bulk_action_jobs ({_NAMES}) VALUES (lower(?){", ?" * (len(MEMBERS) - 1)})
    ON CONFLICT (job_id) DO UPDATE SET ({_NAMES}) = (excluded.{", excluded.".join(MEMBERS)})"""
_TABLES = "SELECT count(*) FROM sqlite_schema WHERE name IN ('bulk_action_jobs', 'tokens')"
_IS_VALID = "(expires_at IS NULL OR expires_at > strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
_TOKEN = f"SELECT name FROM tokens WHERE sha256 = ? AND {_IS_VALID}"
_TOKENS = f"SELECT name, expires_at, {_IS_VALID} FROM tokens ORDER BY name"

_VERBS = {"ro": "read", "rw": "write", "rwc": "make"}  # what one does with a file opened so
_WRITABLE = "let this user write to it and its folder"
_WAL = (
    f"{_WRITABLE}: WAL mode needs that even to read. Or, while no program has it open, run PRAGMA"
)
_REMEDIES = {  # by words of what one does and what SQLite or the system says
    "read: unable to open": f"{_WAL} journal_mode = DELETE",
    "read: attempt to write": f"{_WAL} journal_mode = DELETE",
    "unable to open": _WRITABLE,
    "readonly": _WRITABLE,
    "No such file": "flask jobs init makes it; without FLASK_DATABASE a start serves the demo",
    "Not a directory": "name a file in a folder",
    "File exists": "name a file in a folder",
    "Is a directory": "name a file in it",
    "Permission denied": "let this user read it and search its folders",
    "no such table": "sqlite3 '{}' < schema.sql, or flask jobs init, adds it",
    "column": "another version made it: add the columns that schema.sql has",
    "a view": "its jobs are computed: write to its plans instead",
    "ON CONFLICT": "make job_id its primary key, as schema.sql does",
    "locked": "let the program that has locked it end its transaction",
    "malformed": "move it away with its -wal, and put a whole copy in its place",
    "not a database": "name a file that schema.sql made",
    "disk": "make room on the disk, and see whether it is sound",
}


class StoreError(Exception):
    """Raised when the file cannot be read or written. Its text is one line: cause and remedy."""


class JobStore:
    """The SQLite file at `path`. All threads share a connection for `get` and `token_name`.

    Each method raises `StoreError` if the file is missing, foreign, damaged, or locked: for a
    second to read, for ten to write.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if sqlite3.sqlite_version_info < (3, 37):  # the first with STRICT tables
            found = sqlite3.sqlite_version
            raise StoreError(f"SQLite 3.37 or later is needed: this Python has {found}")
        self.path = Path(path).absolute()
        self._path, self._wal = str(self.path), ""
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version: tuple[object, ...] = ()

    def get(self, job_id: str, *, look: bool = True) -> Job | None:
        """Return the job of a UUID, in any letter case, or None if no job has it.

        With `look`, it first sees whether another file has taken the place of the last one.
        """
        row = self._read(_GET, job_id.lower(), look=look)
        return Job(row) if row else None

    def token_name(self, sha256: str) -> str | None:
        """Return whose token has this digest, or None if it is unknown, revoked or expired."""
        row = self._read(_TOKEN, sha256)
        return str(row[0]) if row else None

    def check(self) -> bool:
        """Return whether there is a token. Raise `StoreError` if the file cannot be served."""
        self.get("")
        self.token_name("")
        return self._read("SELECT name FROM tokens") is not None

    def _read(self, sql: str, *values: str, look: bool = True) -> tuple[Any, ...] | None:
        """Return the first row as of the last commit, or None."""
        with self._lock:
            try:
                connection = (not look and self._connection) or self._current()
                row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
            except (sqlite3.Error, OSError) as error:
                self.close()
                raise self._error("read", error) from error
        return row

    def _current(self) -> sqlite3.Connection:
        """Return the connection, opened again if the file has changed or its -wal was replaced."""
        status = os.stat(self._path)
        file = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if self._connection and self._version == (file, _inode(self._wal)):
            return self._connection
        self.close()  # first: two files open under one name would share one -shm file
        self._wal = f"{os.path.realpath(self._path)}-wal"  # SQLite resolves links, too
        self._connection = self._connect("ro")
        self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # makes the -wal
        self._version = file, _inode(self._wal)
        return self._connection

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def newest(self, status: str | None, limit: int) -> Iterator[Job]:
        """Yield up to `limit` jobs (-1: all) of a status (None: any), last updated first."""
        with self._opened("ro") as connection:
            yield from map(Job, connection.execute(_NEWEST, {"status": status, "limit": limit}))

    def count(self, status: str | None) -> int:
        """Return how many jobs have a status (None: any)."""
        with self._opened("ro") as connection:
            return int(connection.execute(_COUNT, {"status": status}).fetchone()[0])

    def tokens(self) -> list[tuple[str, str | None, bool]]:
        """Return the name, the end (UTC; None: never) and the validity of each token."""
        with self._opened("ro") as connection:
            return [(name, end, bool(valid)) for name, end, valid in connection.execute(_TOKENS)]

    def init(self) -> bool:
        """Make the file and its folder, or add the tables that it lacks; return True if any was."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error("make", error) from error
        with self._opened("rwc") as connection:
            (tables,) = connection.execute(_TABLES).fetchone()
            if tables < 2:
                connection.executescript(Path(__file__).with_name("schema.sql").read_text("utf-8"))
        return bool(tables < 2)

    def put(self, jobs: Sequence[Job]) -> tuple[int, int]:
        """Write jobs with different ids, all or none; return how many were added and replaced."""
        with self._opened("rw") as connection:
            (before,) = connection.execute(_COUNT, {"status": None}).fetchone()
            connection.executemany(_PUT, jobs)
            (after,) = connection.execute(_COUNT, {"status": None}).fetchone()
        return after - before, len(jobs) - (after - before)

    @contextmanager
    def adding_token(self, name: str, sha256: str, expires_at: str | None) -> Iterator[None]:
        """Add a token if the block succeeds: its digest as 64 lower-case hexadecimal digits.

        `expires_at` is UTC, as 2026-05-16T08:00:00Z, or None for never.
        """
        with self._opened("rw") as connection:
            if connection.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).fetchone():
                raise StoreError(f"{name} has a token already: revoke it first")
            connection.execute("INSERT INTO tokens VALUES (?, ?, ?)", (name, sha256, expires_at))
            yield

    def revoke(self, name: str) -> bool:
        """Remove the token of `name`; return whether there was one."""
        with self._opened("rw") as connection:
            return connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount == 1

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        """Yield a connection of its own; to write, in a transaction that ends with the block."""
        try:
            with closing(self._connect(mode)) as connection:
                if mode == "rw":
                    connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        except sqlite3.Error as error:
            raise self._error(_VERBS[mode], error) from error

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}",
            timeout=1 if mode == "ro" else 10,  # seconds to wait for a lock
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        # A text that is not UTF-8 is the fault of its job alone: the schema refuses it.
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        return connection

    def _error(self, verb: str, error: Exception) -> StoreError:
        """Return what is wrong and what to do, in one line."""
        reason = getattr(error, "strerror", None) or str(error)
        if verb != "make" or os.access(self.path, os.F_OK):
            reason = _fault(self.path) or reason
        said = f"{verb}: {reason}"
        remedies = [f": {remedy}" for words, remedy in _REMEDIES.items() if words in said]
        remedy = "".join(remedies[:1]).format(self.path)
        return StoreError(f"cannot {verb} {self.path}: {reason}{remedy}")


def _fault(path: Path) -> str | None:
    """Return why the system refuses to open `path`, or None: SQLite says only that it cannot."""
    try:
        status = os.stat(path)  # to open and close it would release the locks of SQLite
    except OSError as error:
        return error.strerror
    if S_ISDIR(status.st_mode):
        return "Is a directory"
    return None if os.access(path, os.R_OK) else "Permission denied"


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
