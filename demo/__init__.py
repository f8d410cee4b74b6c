"""The demo: jobs that live by the clock, and a public token. demo.sql says how."""

import sqlite3
import tempfile
import zlib
from contextlib import closing, suppress
from pathlib import Path

from errors import StoreError

TOKEN = "demo-token"  # noqa: S105 (public: it opens no other jobs)
JOB_ID = "77777777-7777-4777-8777-777777777777"  # of the one that runs each minute


def make(path: Path) -> None:
    """Make the demo's file unless it is current, or raise `StoreError`. Many may do so at once."""
    script = Path(__file__).with_name("demo.sql").read_text("utf-8")
    version = zlib.crc32(script.encode()) & 0x7FFFFFFF  # user_version is signed
    if _version(path) == version:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            new = Path(folder, path.name)
            with closing(sqlite3.connect(new)) as connection:
                connection.executescript(f"{script} PRAGMA user_version = {version}")
            for suffix in ("-journal", "-wal", "-shm"):  # of the old file: they would spoil the new
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            new.replace(path)
    except (OSError, sqlite3.Error) as error:
        if _version(path) != version:  # else another process was first: Windows then says no
            remedy = "its folder needs room and write permission; or set FLASK_DATABASE"
            raise StoreError(f"cannot make the demo {path}: {error}: {remedy}") from error


def _version(path: Path) -> int | None:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    return None  # it is missing, or no database
