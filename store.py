"""The jobs in their SQLite file; the one module with SQL. It knows no HTTP.

The service reads, through `JobStore`; commands and other processes write. A read sees their latest
commit, or the file that has taken its place by rename; a fault of the file is a `StoreError` for
as long as it lasts.
"""

import errno
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

from schemas import JobSchema

COLUMNS = tuple(JobSchema().fields)
_NAMES = ", ".join(COLUMNS)
# schema.sql has SQLite write each row twice. Damage to the index hides a row: then an id beside
# the one that was asked for is not that of its row.
_HIDDEN = """0 IN (
    (SELECT substr(row_copy, 1, 36) = job_id FROM bulk_action_jobs
        WHERE job_id < :job_id ORDER BY job_id DESC LIMIT 1),
    (SELECT substr(row_copy, 1, 36) = job_id FROM bulk_action_jobs
        WHERE job_id > :job_id ORDER BY job_id LIMIT 1)
)"""


def _select(copy: str, is_absent: str) -> str:
    """Return the query of one row and its copy: of NULLs, and whether that holds, for no row."""
    return f"""SELECT {_NAMES}, {copy} FROM bulk_action_jobs WHERE job_id = :job_id UNION ALL
        SELECT {"NULL, " * len(COLUMNS)} {is_absent} LIMIT 1"""


def _newest(copy: str) -> str:
    """Return the query of rows and their copies, the last updated first.

    julianday() puts times of most offsets in order, to the millisecond; it knows no lower-case T
    and no leap second.
    """
    return f"""SELECT {_NAMES}, {copy} FROM bulk_action_jobs
        WHERE :status IS NULL OR status = :status
        ORDER BY julianday(replace(upper(updated_at), ':60', ':59')) DESC, updated_at DESC, job_id
        LIMIT :limit"""


# The queries of a table whose rows have copies, and of one whose rows have none.
_WITH_COPIES = _select("row_copy", f"{_HIDDEN} IS NOT 1"), _newest("row_copy")
_WITHOUT_COPIES = _select("NULL", "1"), _newest("NULL")
_DESCRIBE = """SELECT encoding, EXISTS (SELECT 1 FROM pragma_table_xinfo('bulk_action_jobs')
    WHERE name = 'row_copy' AND hidden = 3) FROM pragma_encoding"""  # 3: generated and stored
_PUT = f"INSERT OR REPLACE INTO bulk_action_jobs ({_NAMES}) VALUES (:{', :'.join(COLUMNS)})"
_SET = ", ".join(f"{name} = :{name}" for name in COLUMNS)
_SEEN = " AND ".join(f"{name} IS :seen_{name} COLLATE BINARY" for name in COLUMNS)
_UPDATE = f"UPDATE bulk_action_jobs SET {_SET} WHERE job_id = :job_id AND {_SEEN}"
_SCHEMA = Path(__file__).with_name("schema.sql")
_LOCK_TIMEOUT = 1.0  # seconds that a read waits
_WRITE_LOCK_TIMEOUT = 10.0  # seconds that a write waits for another to end
_MOST_IDLE = 8  # connections
_MOST_REPLACED = 100  # times while it is opened
_MOST_MADE = 1000  # jobs
_LONGEST_MADE = 4096  # characters of a job's row

_NO_FOLDER = (
    "SQLite keeps a -wal and a -shm file beside a database in WAL mode, and may not write in its "
    "folder: give the service that permission, or set PRAGMA journal_mode = DELETE"
)
_REASONS = {  # where SQLite says no more than "attempt to write a readonly database"
    "SQLITE_READONLY_DIRECTORY": _NO_FOLDER,
    "SQLITE_READONLY_CANTINIT": _NO_FOLDER,
    "SQLITE_READONLY_RECOVERY": _NO_FOLDER,
    "SQLITE_READONLY_ROLLBACK": (
        "a writer was cut off: a program that may write must open it, to roll back what it left"
    ),
}

_DAMAGED = "a row is damaged: it differs from its copy, or its index"

# Device and inode; whether the -wal is a leftover, else the inode of the -shm, if any; size, times.
_File = tuple[int, int]
_Identity = tuple[_File, bool, int | None, tuple[int, int, int]]
_EXPIRED = 0, 0, 0  # no file's size and times
_UNMADE = object()
# A row; what was made of it, or _UNMADE; where to keep what is made of it now.
_Read = tuple[list[object] | None, object, dict[str, object]]
_T = TypeVar("_T")


class StoreError(Exception):
    """Raised when the file cannot be read or written: its message says which and why."""


def create(path: Path, rows: str = "") -> None:
    """Make a database at `path` from `schema.sql` and `rows`, SQL text: whole or not at all.

    Raises FileExistsError where the path exists already, and leaves that file as it is; another
    OSError, or sqlite3.Error, where it cannot be made; `StoreError` where another database has left
    behind what SQLite would mix into this one.
    """
    for left in (f"{path}-wal", f"{path}-journal"):
        if _state(_stat(left)) and not path.exists():
            raise StoreError(f"another database has left {left}: delete it")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        new = Path(folder, path.name)
        with closing(sqlite3.connect(new)) as connection:
            connection.executescript(_SCHEMA.read_text("utf-8") + rows)
        os.link(new, path)


class JobWriter:
    """Writes of one transaction: see `writing`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._last: int | None = None  # of the rows that were there before

    def put(self, job: Mapping[str, object]) -> bool:
        """Add a job, or replace the one with its id, and tell whether it replaced one.

        `job` has the job's members by their names, those that are left out aside.
        Raises ValueError where this transaction has put that id before, and OverflowError where
        an integer is beyond SQLite's 64 bits.
        """
        if self._last is None:
            (self._last,) = self._connection.execute(
                "SELECT ifnull(max(rowid), 0) FROM bulk_action_jobs"
            ).fetchone()
        job_id = str(job["job_id"]).lower()
        row = self._connection.execute(
            "SELECT rowid FROM bulk_action_jobs WHERE job_id = ?", (job_id,)
        ).fetchone()
        if row and row[0] > self._last:
            raise ValueError("the same job_id came before")
        values = {**dict.fromkeys(COLUMNS), **job, "job_id": job_id}
        self._connection.execute(_PUT, values)
        return row is not None

    def update(self, job: Mapping[str, object], seen: Mapping[str, object]) -> bool:
        """Write a job where the one with its id still is what was `seen`; tell whether it was."""
        values = {name: job.get(name) for name in COLUMNS}
        values |= {f"seen_{name}": seen.get(name) for name in COLUMNS}
        return self._connection.execute(_UPDATE, values).rowcount == 1


@contextmanager
def writing(path: Path) -> Iterator[JobWriter]:
    """Write to the file at `path`, all that the block does or, where it raises, nothing.

    Raises `StoreError` when the file is missing, foreign, full, or locked for ten seconds, or
    refuses a job.
    """
    try:
        with closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_WRITE_LOCK_TIMEOUT,
                isolation_level=None,
            )
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield JobWriter(connection)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"cannot write {path}: {error}") from error


class _Reader:
    """A read-only connection, the file it is to, and the last commit that it has seen."""

    __slots__ = (
        "connection",
        "data_version",
        "has_copies",
        "identity",
        "newest",
        "select",
        "target",
    )

    def __init__(self, identity: _Identity, target: str, connection: sqlite3.Connection) -> None:
        self.identity = identity
        self.target = target
        self.connection = connection
        self.data_version: int | None = None
        self.select = self.newest = ""
        self.has_copies = False

    def expire(self) -> None:
        """Make it one that is closed and not taken again.

        Until then it keeps the file's inode number from a new file, which would pass for the old.
        """
        self.identity = (*self.identity[:3], _EXPIRED)

    def has_seen_all(self) -> bool:
        """Tell whether there was no commit since the last call."""
        (version,) = next(self.connection.execute("PRAGMA data_version"))
        seen, self.data_version = self.data_version, version
        return bool(version == seen)

    def describe(self) -> None:
        """Find out whether the table's rows have copies, and so which queries fit it."""
        encoding, has_copies = self.connection.execute(_DESCRIBE).fetchone()
        if encoding != "UTF-8":  # where SQLite mends what is ill-formed without a word
            raise sqlite3.DatabaseError(f"its encoding is {encoding}, not UTF-8")
        self.has_copies = bool(has_copies)
        self.select, self.newest = _WITH_COPIES if has_copies else _WITHOUT_COPIES

    def find(self, job_id: str) -> tuple[list[object] | None, int]:
        """Return a job's row, if there is one, and its length in characters.

        Raises `sqlite3.DatabaseError` where it is not what was written.
        """
        if not self.select:
            self.describe()
        asked = {"job_id": job_id}
        try:
            *row, copy = next(self.connection.execute(self.select, asked))
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorcode"):
                raise
            # Python's own: text that is not UTF-8. To decode each text here costs more.
            self.connection.text_factory = _decode
            *row, copy = next(self.connection.execute(self.select, asked))
        if row[0] is None and copy:
            return None, 0
        # A damaged index hides a row, or leads to that of another job, sound as it is.
        if str(row[0]).lower() != job_id:
            raise sqlite3.DatabaseError(_DAMAGED)
        return row, self.verify(row, copy)

    def verify(self, row: Sequence[object], copy: object) -> int:
        """Return a row's length in characters.

        Raises `sqlite3.DatabaseError` where it differs from its copy.
        """
        text = "|".join(["" if value is None else str(value) for value in row])
        if self.has_copies and copy != text:
            raise sqlite3.DatabaseError(_DAMAGED)
        return len(text)


class JobStore:
    """The `bulk_action_jobs` table of the SQLite file at `path`.

    Nothing is opened before the first read. One store serves any number of threads: each read
    takes an idle connection, or opens one, and gives it back.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._path = str(self.path)  # os.stat takes it faster
        self._idle: list[_Reader] = []
        self._open: set[_Reader] = set()  # the idle ones, and those in use
        self._opening = threading.Lock()
        # The file that was there last; its path, links followed; the state of a leftover -wal.
        self._seen: tuple[_File | None, str, tuple[int, ...] | None] = None, "", None
        # The inode of the -wal that connections have had open, and the file that it belongs to.
        self._wal: tuple[int | None, _File] | None = None
        # What `cached` has made, by id, all of it of the last commit that a connection has found
        # or later. Another takes its place when one finds a commit, or is opened: then it cannot
        # tell what came before.
        self._made: dict[str, object] = {}

    def get(self, job_id: str) -> dict[str, object] | None:
        """Return the columns of one job that are not NULL, as they are stored.

        `job_id` is a UUID in its 8-4-4-4-12 form, in any letter case; the table has it in lower
        case. The answer is None where no row has that id. Text that is not UTF-8 keeps its bytes
        as surrogate escapes (PEP 383).

        Raises `StoreError` when the file is missing, foreign, damaged, or locked for a second.
        """
        row, _, _ = self._retry(job_id.lower(), may_be_made=False)
        return None if row is None else _members(row)

    def cached(self, job_id: str, make: Callable[[dict[str, object]], _T]) -> _T | None:
        """Return `make` of what `get` returns, made anew only where the file has changed since.

        Every call of a store is to pass the same function. Raises what `get` raises, and what
        `make` raises, each time.
        """
        job_id = job_id.lower()
        row, value, made = self._retry(job_id, may_be_made=True)
        if value is not _UNMADE:
            return cast("_T", value)
        value = None if row is None else make(_members(row))
        if len(made) >= _MOST_MADE:
            made.clear()
        made[job_id] = value
        return value

    def _retry(self, job_id: str, *, may_be_made: bool) -> _Read:
        """Read; once more on an error of SQLite's other than a lock.

        A replacement or a new -shm may have caused it. Python's own errors, of damage and of the
        system, have no code: they are not tried again.
        """
        try:
            return self._read(job_id, may_be_made)
        except StoreError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_BUSY)
            if code & 0xFF == sqlite3.SQLITE_BUSY:
                raise
        return self._read(job_id, may_be_made)

    def _read(self, job_id: str, may_be_made: bool) -> _Read:
        """Return a row, or what was made of it where the file has not changed since.

        After them comes where to keep what is made of the row.
        """
        # Taken first: where another takes its place during this read, it is thrown away with what
        # is kept in it. What is read now is of this one's time or later: a commit will end it.
        made = self._made if may_be_made else {}
        row, value = None, _UNMADE
        try:
            reader = self._take(self._identity()) or self._connect()
            try:
                if reader.data_version is None:
                    reader.has_seen_all()
                    self._note(reader)
                    made = self._made = {}
                elif job_id in made:
                    if reader.has_seen_all():
                        # Another thread may have seen more, and put it there.
                        value = self._made.get(job_id, _UNMADE)
                    else:
                        made = self._made = {}
                if value is _UNMADE:
                    row, length = reader.find(job_id)
                    if length > _LONGEST_MADE:
                        made = {}  # thrown away with what is kept in it
            except BaseException:
                reader.expire()
                self._give_back(reader)
                raise
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: a NUL in the path
            for other in self._idle.copy():
                other.expire()
            raise self._error(error) from error
        self._give_back(reader)
        return row, value, made

    def _give_back(self, reader: _Reader) -> None:
        self._idle.append(reader)
        if len(self._idle) > _MOST_IDLE:
            with suppress(IndexError):  # other threads may take them all meanwhile
                self._close(self._idle.pop())

    def _note(self, reader: _Reader) -> None:
        """Note which -wal and -shm SQLite has opened with the file, or made."""
        file, is_leftover, _, version = reader.identity
        if not is_leftover:
            reader.identity = file, False, _inode(f"{reader.target}-shm"), version
            self._wal = _inode(f"{reader.target}-wal"), file

    def newest(self, status: str | None, limit: int) -> Iterator[dict[str, object]]:
        """Yield jobs as `get` returns them, the last updated first.

        Only those of `status`, or all for None; `limit` of them at the most, or all for -1. Raises
        `StoreError` as `get` does.
        """
        try:
            reader = self._connect()
            try:
                values = {"status": status, "limit": limit}
                reader.connection.text_factory = _decode
                reader.describe()
                for *row, copy in reader.connection.execute(reader.newest, values):
                    reader.verify(row, copy)
                    yield _members(row)
            finally:
                self._close(reader)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._error(error) from error

    def check(self) -> None:
        """Raise `StoreError` unless a read works now; leave no connection open."""
        try:
            self.get("")
        finally:
            self.close()

    def close(self) -> None:
        """Close the idle connections; a later read opens its own."""
        try:
            while True:
                self._close(self._idle.pop())
        except IndexError:
            pass

    def _close(self, reader: _Reader) -> None:
        reader.connection.close()
        self._open.discard(reader)

    def _error(self, error: Exception) -> StoreError:
        known = _REASONS.get(getattr(error, "sqlite_errorname", ""))
        reason = known or getattr(error, "strerror", None) or error
        return StoreError(f"cannot read {self.path}: {reason}")

    def _identity(self) -> _Identity:
        """Return what tells the file as it is, and the way to open it, from what was there before.

        A file that a connection holds open keeps its inode number to itself; one that takes up
        the number of a file that no one holds, or was damaged in place, has other times.
        """
        status = os.stat(self._path)
        file = status.st_dev, status.st_ino
        seen, target, leftover = self._seen
        if file != seen:
            if not stat.S_ISREG(status.st_mode):  # to open a FIFO would wait
                raise OSError(errno.EINVAL, "Not a regular file")
            target = os.path.realpath(self._path)  # SQLite follows links, too
            # The -wal of another file, not written since the rename. Other changes set the one
            # time or the other, too, but seldom both.
            wal = _stat(f"{target}-wal")
            left = (
                wal
                and self._wal
                and wal.st_ino == self._wal[0]
                and file != self._wal[1]
                and wal.st_mtime_ns <= status.st_ctime_ns
                and wal.st_mtime_ns <= Path(target).parent.stat().st_mtime_ns
            )
            leftover = _state(wal) if left else None
            if not os.path.samestat(os.stat(target), status):
                return self._identity()  # a link has come to point elsewhere meanwhile
            self._seen = file, target, leftover
        is_leftover = leftover is not None and leftover == _state(_stat(f"{target}-wal"))
        shm = None if is_leftover else _inode(f"{target}-shm")
        return file, is_leftover, shm, _version(status)

    def _take(self, identity: _Identity) -> _Reader | None:
        """Return an idle connection, and close those to what was there before."""
        try:
            while True:
                reader = self._idle.pop()
                if reader.identity == identity:
                    return reader
                self._close(reader)
        except IndexError:
            return None

    def _connect(self) -> _Reader:
        """Open the file, when all connections to a file that it has replaced are closed.

        The two would share one -shm file, and POSIX drops all locks that a process has on it when
        the first of them is closed: a writer would then truncate what is in use here (SIGBUS).
        """
        with self._opening:
            for _ in range(_MOST_REPLACED):
                identity = file, is_leftover, _, version = self._identity()
                self._wait_for_others(identity)
                # SQLite would mix a leftover -wal into the file; an immutable file it reads alone.
                options = "mode=ro&immutable=1" if is_leftover else "mode=ro"
                target = os.path.realpath(self._path)
                connection = sqlite3.connect(
                    f"{Path(target).as_uri()}?{options}",
                    uri=True,
                    timeout=_LOCK_TIMEOUT,
                    check_same_thread=False,
                )
                # Another may have been there, and this one again, since the identity was taken.
                status = os.stat(target)
                if ((status.st_dev, status.st_ino), _version(status)) == (file, version):
                    reader = _Reader(identity, target, connection)
                    self._open.add(reader)
                    return reader
                connection.close()
        raise OSError(errno.ESTALE, "Replaced again and again while it was opened")

    def _wait_for_others(self, identity: _Identity) -> None:
        """Return when no connection is open to another file, or -shm, than that of `identity`."""
        deadline = time.monotonic() + 2 * _LOCK_TIMEOUT
        while True:
            others = [one for one in self._open.copy() if one.identity[:3] != identity[:3]]
            for reader in others:
                with suppress(ValueError):  # in use
                    self._idle.remove(reader)
                    self._close(reader)
            if self._open.isdisjoint(others):
                return
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "The file that it has replaced is still being read")
            time.sleep(0.001)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _inode(path: str) -> int | None:
    try:  # not through _stat: every request comes by
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _state(wal: os.stat_result | None) -> tuple[int, ...] | None:
    return (wal.st_ino, wal.st_size, wal.st_mtime_ns) if wal and wal.st_size else None


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _members(row: Sequence[object]) -> dict[str, object]:
    return {name: value for name, value in zip(COLUMNS, row, strict=True) if value is not None}
