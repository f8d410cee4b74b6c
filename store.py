"""The jobs and the tokens in their SQLite file: all their SQL, and no HTTP."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from errors import StoreError
from schemas import MEMBERS, Job

_NAMES = ", ".join(MEMBERS)
_JOB = f"SELECT {_NAMES} FROM bulk_action_jobs WHERE job_id = ?"
_OF_STATUS = "FROM bulk_action_jobs WHERE :status IS NULL OR status = :status"
_NEWEST = f"""SELECT {_NAMES} {_OF_STATUS}
    ORDER BY julianday(replace(upper(updated_at), ':60', ':59')) DESC, updated_at DESC, job_id
    LIMIT :limit"""
_COUNT = f"SELECT count(*) {_OF_STATUS}"
_PUT = f"""INSERT INTO bulk_action_jobs ({_NAMES}) VALUES (lower(?){", ?" * (len(MEMBERS) - 1)})
    ON CONFLICT (job_id) DO UPDATE SET ({_NAMES}) = (excluded.{", excluded.".join(MEMBERS)})"""
_TABLES = "SELECT count(*) FROM sqlite_schema WHERE lower(name) IN ('bulk_action_jobs', 'tokens')"
_IS_VALID = "(expires_at IS NULL OR expires_at > strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
_TOKEN = f"SELECT name FROM tokens WHERE sha256 = ? AND {_IS_VALID}"
_GET = f"SELECT * FROM ({_TOKEN}) LEFT JOIN ({_JOB})"
_TOKENS = f"""SELECT name, coalesce(expires_at, 'never'), iif({_IS_VALID}, 'valid', 'expired')
    FROM tokens ORDER BY name"""
_ADD = "INSERT INTO tokens VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ? || ' days'))"


class JobStore:
    """The SQLite file at `path`. All threads share one connection for `get` and `check`.

    Raises `StoreError` if the file is missing, foreign, damaged or locked (reads: 1 s; writes: 10).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if sqlite3.sqlite_version_info < (3, 37):  # the first with STRICT tables
            found = sqlite3.sqlite_version
            raise StoreError(f"SQLite 3.37 or later is needed: this Python has {found}")
        self.path = Path(path).absolute()
        self._path, self._wal = str(self.path), ""
        self._lock = threading.Lock()
        self._cursor: sqlite3.Cursor | None = None  # kept: to make one takes time
        self._version: tuple[object, ...] = ()

    def get(self, sha256: str, job_id: str) -> tuple[str | None, Job | None]:
        """Return the client whose token has this digest, and the job of this id in any letter case.

        A job that is not there is None. Without a valid token both are, and no job is read.
        """
        row = self._read(_GET, sha256, job_id.lower()) or (None, None)
        return row[0], (row[1:] if row[1] is not None else None)  # row[1] is its job_id

    def check(self) -> bool:
        """Return whether there is a token. Raise `StoreError` if the file cannot be served."""
        self._read(_JOB, "")
        return self._read("SELECT name, sha256, expires_at FROM tokens LIMIT 1") is not None

    def _read(self, sql: str, *values: str) -> tuple[Any, ...] | None:
        """Return the first row as of the last commit, or None."""
        with self._lock:
            try:
                rows = self._current().execute(sql, values).fetchall()  # all: else it keeps a lock
            except (sqlite3.Error, OSError) as error:
                self.close()
                raise StoreError.of("read", self.path, error) from error
        return rows[0] if rows else None

    def _current(self) -> sqlite3.Cursor:
        """Return the cursor, opened again if the file has changed or its -wal was replaced."""
        status = os.stat(self._path)
        file = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if self._cursor and self._version == (file, _inode(self._wal)):
            return self._cursor
        self.close()  # first: two files open under one name would share one -shm file
        self._wal = f"{os.path.realpath(self._path)}-wal"  # SQLite resolves links, too
        self._cursor = self._connect("read").cursor()
        self._cursor.execute("SELECT 1 FROM sqlite_schema").fetchall()  # makes the -wal
        self._version = file, _inode(self._wal)
        return self._cursor

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._cursor:
            self._cursor.connection.close()
            self._cursor = None

    def newest(self, status: str | None, limit: int) -> tuple[int, list[sqlite3.Row]]:
        """Return how many jobs have a status (None: any), and the `limit` newest (-1: all)."""
        with self._opened("read") as connection:
            connection.row_factory = sqlite3.Row
            # One text that is not UTF-8 must not hide the other jobs.
            connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            values = {"status": status, "limit": limit}
            (count,) = connection.execute(_COUNT, values).fetchone()
            return count, connection.execute(_NEWEST, values).fetchall()

    def tokens(self) -> list[tuple[str, str, str]]:
        """Return the name, the end (UTC, or never) and the state, valid or expired, of each."""
        with self._opened("read") as connection:
            return connection.execute(_TOKENS).fetchall()

    def init(self) -> bool:
        """Make the file and its folder, or add the tables that it lacks; return True if any was."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch()  # 666 less the umask: SQLite makes 644, which no group can write
        except OSError as error:
            raise StoreError.of("make", self.path, error) from error
        with self._opened("make") as connection:
            (tables,) = connection.execute(_TABLES).fetchone()
            if tables < 2:
                connection.executescript(Path(__file__).with_name("schema.sql").read_text("utf-8"))
        return bool(tables < 2)

    def put(self, jobs: Sequence[Job]) -> tuple[int, int]:
        """Write jobs with different ids, all or none; return how many were added and replaced."""
        with self._opened("write") as connection:
            (before,) = connection.execute(_COUNT, {"status": None}).fetchone()
            connection.executemany(_PUT, jobs)
            (after,) = connection.execute(_COUNT, {"status": None}).fetchone()
        return after - before, len(jobs) - (after - before)

    @contextmanager
    def adding_token(self, name: str, sha256: str, days: int | None) -> Iterator[None]:
        """Add a token if the block succeeds. It expires after so many days (None: never)."""
        with self._opened("write") as connection:
            if connection.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).fetchone():
                raise StoreError(f"{name} has a token already: revoke it first")
            connection.execute(_ADD, (name, sha256, days))
            yield

    def revoke(self, name: str) -> bool:
        """Remove the token of `name`; return whether there was one."""
        with self._opened("write") as connection:
            return connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount == 1

    @contextmanager
    def _opened(self, verb: str) -> Iterator[sqlite3.Connection]:
        """Yield a connection of its own; to write, in a transaction that ends with the block."""
        try:
            with closing(self._connect(verb)) as connection:
                if verb == "write":
                    connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        except sqlite3.Error as error:
            raise StoreError.of(verb, self.path, error) from error

    def _connect(self, verb: str) -> sqlite3.Connection:
        uri = f"{self.path.as_uri()}?mode={'ro' if verb == 'read' else 'rw'}"
        wait = 1 if verb == "read" else 10  # seconds, for a lock
        return sqlite3.connect(uri, timeout=wait, check_same_thread=False, uri=True)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
