"""Bearer tokens (RFC 6750), from a file that holds their digests and never the tokens."""

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from flask import request
from flask_httpauth import HTTPTokenAuth

from problems import Problem
from schemas import is_date_time

REALM = "bulk-action-jobs"
LINE = "SHA-256-hex NAME [EXPIRES]"

_COMMENT = re.compile(r"(?:^|\s)#")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[!\"$-~]+")
_LINE = re.compile(r"([0-9A-Fa-f]{64})\s+([!-~]+)(?:\s+([!-~]+))?")
_SETTLED = 2_000_000_000  # nanoseconds; no file system's clock ticks more slowly
_View = TypeVar("_View", bound=Callable[..., Any])
_log = logging.getLogger(__name__)


class TokensError(Exception):
    """Raised when the token file cannot be read, or cannot be relied on at the start."""


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the token file: a token's SHA-256, its client, and when it expires, if ever."""

    digest: bytes
    name: str
    expires: datetime | None

    @classmethod
    def parse(cls, line: str) -> "Token":
        """Read `SHA-256-hex NAME [EXPIRES]`, EXPIRES a date-time of RFC 3339.

        Raises ValueError where the line has another form. The message does not repeat the line:
        somebody may have written the token itself there.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"expected {LINE!r}")
        digest, name, expires = match.groups()
        if _DATE.match(name):
            raise ValueError(f"expected {LINE!r}, but there is a date where NAME should be")
        if expires is None:
            return cls(bytes.fromhex(digest), name, None)
        if not is_date_time(expires):
            raise ValueError("EXPIRES must be an RFC 3339 date-time such as 2027-01-31T00:00:00Z")
        # datetime knows no leap second and no lower-case letters.
        moment = datetime.fromisoformat(expires.upper().replace(":60", ":59"))
        return cls(bytes.fromhex(digest), name, moment)

    def is_valid(self) -> bool:
        """Tell whether the token has not expired."""
        return self.expires is None or self.expires > datetime.now(UTC)


class TokenFile:
    """The token file at `path`: one line a client, blank lines and `#` comments aside."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._path = str(self.path)  # os.stat takes it faster
        # What was read last: of which version, whether that was final, its bytes, and the tokens.
        self._latest: tuple[tuple[int, ...], bool, bytes, list[Token]] = (), False, b"", []

    def read(self) -> tuple[list[Token], list[str]]:
        """Return the file's tokens, and a sentence naming file and line for each malformed line.

        Raises `TokensError` when the file cannot be read.
        """
        return self._parse(self._read()[1])

    def _read(self) -> tuple[tuple[int, ...], bytes]:
        """Return the version of the file that is there, and its bytes."""
        try:
            if not stat.S_ISREG(os.stat(self._path).st_mode):  # to open a FIFO would wait
                raise self._error("Not a regular file")
            with self.path.open("rb") as file:
                return _version(os.fstat(file.fileno())), file.read()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise self._error(error) from error

    def _parse(self, data: bytes) -> tuple[list[Token], list[str]]:
        tokens, complaints = [], []
        for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
            if text := _COMMENT.split(line)[0].strip():
                try:
                    tokens.append(Token.parse(text))
                except ValueError as error:
                    complaints.append(f"{self.path}, line {number}: {error}")
        return tokens, complaints

    def _error(self, reason: object) -> TokensError:
        return TokensError(f"cannot read {self.path}: {getattr(reason, 'strerror', reason)}")

    def check(self) -> None:
        """Raise `TokensError` unless the file has a token and every line of it is well-formed."""
        tokens, complaints = self.read()
        if complaints:
            raise TokensError(complaints[0])
        if not tokens:
            raise TokensError(f"{self.path} has no token")

    def add(self, name: str, expires: datetime | None) -> str:
        """Make a token for a client of a new name and return it; the file gets its digest.

        `expires` is an aware datetime, or None for never. Raises ValueError where the name is in
        use or unfit, and `TokensError` where the file cannot be written.
        """
        if not _NAME.fullmatch(name) or _DATE.match(name):
            raise ValueError("a name is of visible ASCII characters, # aside, and no date")
        token = secrets.token_urlsafe(32)  # 256 bits
        line = f"{hashlib.sha256(token.encode()).hexdigest()} {name}"
        if expires:
            line += f" {expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        with self._rewriting() as lines:
            if any(_name(other) == name for other in lines):
                raise ValueError(f"there is a token of the name {name} already: revoke it first")
            lines.append(line)
        return token

    def revoke(self, name: str) -> bool:
        """Take the tokens of the client `name` out of the file; tell whether there were any.

        Raises `TokensError` where the file cannot be written.
        """
        with self._rewriting() as lines:
            kept = [line for line in lines if _name(line) != name]
            found = len(kept) < len(lines)
            lines[:] = kept
        return found

    @contextmanager
    def _rewriting(self) -> Iterator[list[str]]:
        """Yield the file's lines, and put them in its place when the block has changed them.

        The new file is written beside the old one, whole, and renamed; while it is there, another
        command waits. Its mode and owner are the old one's, 0600 where there was none.
        """
        path = self.path.resolve()
        new = path.with_name(f"{path.name}.new")
        if path.exists() and not path.is_file():  # a device would become a file
            raise TokensError(f"cannot write {path}: it is not a regular file")
        try:
            file = _claim(new)
            try:
                with file:
                    text = path.read_text("utf-8-sig", "surrogateescape") if path.exists() else ""
                    lines = text.removesuffix("\n").split("\n") if text else []
                    before = list(lines)
                    yield lines
                    if path.exists():
                        status = path.stat()
                        os.chown(new, status.st_uid, status.st_gid)
                        new.chmod(stat.S_IMODE(status.st_mode))
                    file.writelines(f"{line}\n" for line in lines)
                    file.flush()
                    os.fsync(file.fileno())
                if lines == before:
                    new.unlink()
                else:
                    new.replace(path)
            except BaseException:  # not finally: after the rename the name is another's to claim
                new.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise TokensError(f"cannot write {path}: {error}") from error

    def verify(self, token: str) -> str | None:
        """Return the name of the client that holds `token`, or None for no one.

        The file counts as it is now: an edit is in force with the next request. Raises
        `TokensError` when it cannot be read.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        name = None
        for candidate in self._current():
            if hmac.compare_digest(candidate.digest, digest) and candidate.is_valid():
                name = candidate.name
        return name

    def _current(self) -> list[Token]:
        try:
            version = _version(os.stat(self._path))
        except (OSError, ValueError) as error:
            raise self._error(error) from error
        seen, settled, data, tokens = self._latest
        if version != seen or not settled:
            now, before = time.time_ns(), data
            # The version that was read, whatever a link has come to point at meanwhile.
            version, data = self._read()
            if data != before:
                said = self._parse(before)[1]
                tokens, complaints = self._parse(data)
                for complaint in complaints:
                    if complaint not in said:
                        _log.error("%s; the line is ignored", complaint)
            # A second edit within one tick of the clock leaves the times as they are.
            settled = now - max(version[-2:]) > _SETTLED
            self._latest = version, settled, data, tokens  # at once, for other threads
        return tokens


def _version(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells one state of a file from another, its two times last."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _name(line: str) -> str | None:
    """Return the client that a line of the file names, or None where it names none."""
    try:
        return Token.parse(_COMMENT.split(line)[0].strip()).name
    except ValueError:
        return None


def _claim(path: Path) -> TextIO:
    """Open a file that no one else may have, waiting for two seconds until that is so.

    Raises `TokensError` where it is not so then.
    """
    deadline = time.monotonic() + 2
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            return os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape")
        except FileExistsError as error:
            if time.monotonic() > deadline:
                raise TokensError(
                    f"another command has {path}; where none is at work, one was cut off: delete it"
                ) from error
            time.sleep(0.02)


class _BearerAuth(HTTPTokenAuth):  # type: ignore[misc]  # the library ships no types
    def ensure_sync(self, function: _View) -> _View:
        """Return the function as it is: no view here is a coroutine, and to look costs time."""
        return function


def bearer_auth(tokens: TokenFile) -> Callable[[_View], _View]:
    """Return the decorator of a view that only a request with one of `tokens` reaches.

    Any other ends in a `Problem`: 401 with a challenge.
    """
    auth = _BearerAuth("Bearer", REALM)
    auth.verify_token(tokens.verify)
    auth.error_handler(_challenge)
    return auth.login_required  # type: ignore[no-any-return]  # the library ships no types


def _challenge(status: int) -> NoReturn:
    """Raise the 401 with its challenge (RFC 6750, 3).

    Only a request that presented a bearer token is told that it is invalid.
    """
    challenge = f'Bearer realm="{REALM}"'
    detail = "Authentication is required: send a bearer token."
    credentials = request.authorization
    if credentials and credentials.type == "bearer" and credentials.token:
        detail = "The access token is unknown, expired or revoked."
        challenge += f', error="invalid_token", error_description="{detail}"'
    raise Problem(status, detail, headers={"WWW-Authenticate": challenge})
