"""The jobs in their SQLite file, read-only; the one module with SQL. It knows no HTTP.

The file belongs to other processes. A read sees their latest commit, or the file that has taken
its place by rename; a fault of the file is a `StoreError` for as long as it lasts.
"""

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

COLUMNS = (
    "job_id",
    "criteria_json",
    "action_type",
    "action_duration",
    "action_reason",
    "scheduled_at",
    "executed_at",
    "completed_at",
    "max_limit",
    "preview_count",
    "affected_count",
    "status",
    "progress_percent",
    "created_by",
    "created_at",
    "updated_at",
)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM bulk_action_jobs WHERE job_id = ?"  # noqa: S608 (constants)
_SCHEMA = Path(__file__).with_name("schema.sql")
_LOCK_TIMEOUT = 1.0  # seconds
_MOST_IDLE = 8  # connections

_Identity = tuple[int, int, bool]  # device, inode, whether the -wal file is a leftover


class StoreError(Exception):
    """Raised when the file cannot be read; the message names it, `__cause__` says why."""


def create(path: Path, rows: str = "") -> None:
    """Make a database at `path` from `schema.sql` and `rows`, SQL text: whole or not at all.

    Raises FileExistsError where the path exists already, and leaves that file as it is.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        new = Path(folder, path.name)
        with closing(sqlite3.connect(new)) as connection:
            connection.executescript(_SCHEMA.read_text("utf-8") + rows)
        os.link(new, path)


class JobStore:
    """The `bulk_action_jobs` table of the SQLite file at `path`.

    Nothing is opened before the first read. One store serves any number of threads: each read
    takes an idle connection, or opens one, and gives it back.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._idle: list[tuple[_Identity, sqlite3.Connection]] = []
        self._seen: tuple[tuple[int, int] | None, tuple[int, int, int] | None] = None, None

    def get(self, job_id: str) -> dict[str, object] | None:
        """Return the columns of one job that are not NULL, as they are stored.

        `job_id` is a UUID in its 8-4-4-4-12 form, in any letter case. The answer is None where no
        row has that id. Text that is not UTF-8 keeps its bytes as surrogate escapes (PEP 383).

        Raises `StoreError` when the file is missing, foreign, damaged, or locked for a second.
        """
        try:
            identity = self._identity()
            connection = self._take(identity)
            try:
                row = connection.execute(_SELECT, (job_id.lower(),)).fetchone()
                reusable = self._identity() == identity
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError, ValueError, MemoryError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"cannot read {self.path}: {reason}") from error
        if reusable:
            self._idle.append((identity, connection))
        else:
            connection.close()
        if len(self._idle) > _MOST_IDLE:
            with suppress(IndexError):  # other threads may take them all meanwhile
                self._idle.pop()[1].close()
        if row is None:
            return None
        return {name: value for name, value in zip(COLUMNS, row, strict=True) if value is not None}

    def check(self) -> None:
        """Raise `StoreError` unless a read works now; leave no connection open."""
        self.get("")
        self.close()

    def close(self) -> None:
        """Close the idle connections; a later read opens its own."""
        try:
            while True:
                self._idle.pop()[1].close()
        except IndexError:
            pass

    def _identity(self) -> _Identity:
        """Return what tells the file, and the way to open it, from what was there before.

        A file that a connection holds open keeps its inode number to itself, so no other file
        can be taken for it.
        """
        status = os.stat(self.path)
        file = status.st_dev, status.st_ino
        seen, leftover = self._seen
        if file != seen:  # renamed into place at st_ctime_ns: an older -wal is not the file's own
            wal = self._wal() if seen else None
            leftover = wal if wal and wal[2] <= status.st_ctime_ns else None
            self._seen = file, leftover
        return *file, leftover is not None and leftover == self._wal()

    def _wal(self) -> tuple[int, int, int] | None:
        """Return inode, size and time of the -wal file, or None where it is absent or empty."""
        try:
            status = os.stat(f"{self.path}-wal")
        except FileNotFoundError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else None

    def _take(self, identity: _Identity) -> sqlite3.Connection:
        try:
            while True:
                idle_identity, connection = self._idle.pop()
                if idle_identity == identity:
                    return connection
                connection.close()
        except IndexError:
            pass
        # SQLite would mix a leftover -wal into the file; an immutable file it reads alone.
        options = "mode=ro&immutable=1" if identity[2] else "mode=ro"
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?{options}",
            uri=True,
            timeout=_LOCK_TIMEOUT,
            isolation_level=None,  # autocommit: no read transaction outlives its statement
            check_same_thread=False,
        )
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return connection
