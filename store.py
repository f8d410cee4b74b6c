"""The jobs in their SQLite file: the one module with SQL. It knows no HTTP."""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from schemas import JobSchema

COLUMNS = tuple(JobSchema().fields)
Row = tuple[Any, ...]
_NAMES = ", ".join(COLUMNS)
_VALUES = ", ".join(f":{name}" for name in COLUMNS)
_GET = f"SELECT {_NAMES} FROM bulk_action_jobs WHERE job_id = ?"
_NEWEST = f"""SELECT {_NAMES} FROM bulk_action_jobs WHERE :status IS NULL OR status = :status
    ORDER BY julianday(replace(upper(updated_at), ':60', ':59')) DESC, job_id LIMIT :limit"""
_REPLACED = "SELECT count(*) FROM staged JOIN bulk_action_jobs USING (job_id)"
_PUT = f"INSERT OR REPLACE INTO bulk_action_jobs ({_NAMES}) SELECT * FROM staged"
_SEEN = " AND ".join(f"{name} IS :seen_{name}" for name in COLUMNS)
_UPDATE = f"UPDATE bulk_action_jobs SET ({_NAMES}) = ({_VALUES}) WHERE {_SEEN}"


class StoreError(Exception):
    """Raised when the file cannot be read or written. The message names file and cause."""


def members(row: Row) -> dict[str, Any]:
    """Return the members of a job by name. NULL is a member that is absent."""
    return {name: value for name, value in zip(COLUMNS, row, strict=True) if value is not None}


class JobStore:
    """Reads the jobs of the SQLite file at `path`. All threads share one connection."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._path, self._wal = str(self.path), f"{self.path}-wal"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version: tuple[object, ...] = ()

    def get(self, job_id: str) -> Row | None:
        """Return a job's values as stored, in the order of COLUMNS, or None if no job has the id.

        `job_id` is a UUID of any letter case. Raises `StoreError` when the file is missing,
        foreign, damaged, or locked for a second.
        """
        with self._lock:
            try:
                row: Row | None = self._current().execute(_GET, (job_id.lower(),)).fetchone()
            except (sqlite3.Error, OSError) as error:
                self.close()
                reason = getattr(error, "strerror", error)
                raise StoreError(f"cannot read {self.path}: {reason}") from error
        return row

    def _current(self) -> sqlite3.Connection:
        """Return the connection, opened again if the file has changed or its -wal was replaced."""
        status = os.stat(self._path)
        file = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if self._connection and self._version == (file, _inode(self._wal)):
            return self._connection
        self.close()  # first: two files open under one name would share one -shm file
        self._connection = _connect(self.path, "ro")
        self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # makes the -wal
        self._version = file, _inode(self._wal)
        return self._connection

    def newest(self, status: str | None, limit: int) -> Iterator[Row]:
        """Yield up to `limit` rows (-1: all) of a status (None: any), last updated first."""
        with _opened(self.path, "ro") as connection:
            yield from connection.execute(_NEWEST, {"status": status, "limit": limit})

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._connection:
            self._connection.close()
            self._connection = None


def create(path: Path, jobs: Iterable[Mapping[str, Any]] = ()) -> None:
    """Make a database of `jobs` at `path` from schema.sql, atomically.

    Raises OSError or `StoreError` if that fails, or if a file of that name is there already.
    """
    for there in (path, Path(f"{path}-wal"), Path(f"{path}-journal")):
        if there.exists() and (there == path or there.stat().st_size):
            raise StoreError(f"{there} exists already: it is left as it is")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        with _opened(new := Path(folder, path.name), "rwc") as connection:
            connection.executescript(Path(__file__).with_name("schema.sql").read_text("utf-8"))
        put(new, jobs)
        new.replace(path)


def put(path: Path, jobs: Iterable[Mapping[str, Any]], *, clear: bool = False) -> tuple[int, int]:
    """Write jobs in one transaction; return how many were added and how many replaced.

    No id may repeat. `clear` first deletes all jobs. `jobs` is read before locking. Raises
    `StoreError` when the file is missing, foreign, full, locked for ten seconds, or refuses a job.
    """
    with _opened(path, "rw") as connection:
        connection.execute(f"CREATE TEMP TABLE staged ({_NAMES})")
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO staged VALUES ({_VALUES})", map(_values, jobs))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        if clear:
            connection.execute("DELETE FROM bulk_action_jobs")
        (replaced,) = connection.execute(_REPLACED).fetchone()
        written = connection.execute(_PUT).rowcount
        connection.execute("COMMIT")
    return written - replaced, replaced


def update(path: Path, job: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Write a job if its row still is `seen`; return whether it was. Raises as `put`."""
    before = {f"seen_{name}": value for name, value in _values(seen).items()}
    with _opened(path, "rw") as connection:
        return connection.execute(_UPDATE, _values(job) | before).rowcount == 1


def _values(job: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS), **job, "job_id": job["job_id"].lower()}


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(_connect(path, mode)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"cannot {'read' if mode == 'ro' else 'write'} {path}: {error}") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    s = 1 if mode == "ro" else 10  # seconds to wait for a lock
    return sqlite3.connect(uri, timeout=s, isolation_level=None, check_same_thread=False, uri=True)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
