"""The errors whose text is the one line that a person needs: what is wrong, and what helps."""

import os
import re
from pathlib import Path
from stat import S_ISDIR

_WRITABLE = "let this user write to it and its folder"
_REMEDIES = {  # by what failed and why: the first regular expression that is found counts
    "to UTF-8": "write this text again, in UTF-8",
    "make: (Perm|No such|Read-only)|(make|write): .*(unable to open|readonly)": _WRITABLE,
    "READONLY_ROLLBACK": "a writer was killed: open it once with a program that may write to it",
    "unable to open|readonly": f"{_WRITABLE}: WAL mode needs that even to read. Or, while no "
    "program has it open, run PRAGMA journal_mode = DELETE",
    "No such file": "flask jobs init makes it; without FLASK_DATABASE a start serves the demo",
    "directory|File exists": "name a file; each part before its name must be a folder",
    "Permission denied": "let this user read it and search its folders",
    "no such table": "sqlite3 FILE < schema.sql, or flask jobs init, adds it",
    "no such column|no column": "another version made it: add the columns that schema.sql has",
    "a view": "its jobs are computed: write to its plans instead",
    "ON CONFLICT": "make job_id its primary key, as schema.sql does",
    "locked": "let the program that has locked it end its transaction",
    "malformed": "move it away with its -wal, and put a whole copy in its place",
    "not a database": "name a file that schema.sql made",
    "disk": "make room on the disk, and see whether it is sound",
    "": "docs/faults.md says what helps",
}


class InputError(Exception):
    """Raised when a setting, or a file of captured jobs, cannot be used."""


class StoreError(Exception):
    """Raised when the database cannot be read or written."""

    @classmethod
    def of(cls, verb: str, path: Path, error: Exception) -> "StoreError":
        """Return what is wrong with the file at `path`. `verb`: read, write or make it."""
        reason = str(error)
        try:
            if isinstance(error, OSError):
                raise error
            # SQLite says of these only that it cannot.
            if S_ISDIR(os.stat(path).st_mode):  # never open it: a close drops SQLite's locks
                reason = "Is a directory"
            elif not os.access(path, os.R_OK):
                reason = "Permission denied"
        except OSError as refusal:
            reason = f"{refusal.strerror}"
        said = f"{verb}: {reason} {getattr(error, 'sqlite_errorname', '')}"
        remedy = next(text for words, text in _REMEDIES.items() if re.search(words, said))
        return cls(f"cannot {verb} {path}: {reason}: {remedy}")
