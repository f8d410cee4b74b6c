"""Bearer tokens (RFC 6750) from a file that holds their digests, never the tokens."""

import fcntl
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from flask import Response, request
from flask_httpauth import HTTPTokenAuth

from problems import Problem, problem_response
from schemas import is_date_time

REALM = "bulk-action-jobs"
LINE = "SHA-256-hex NAME [EXPIRES]"
NEVER = "9999-12-31T23:59:59Z"

_COMMENT = re.compile(r"(?:^|\s)#.*")
_LINE = re.compile(r"([0-9A-Fa-f]{64})\s+(?![0-9]{4}-[0-9]{2}-)([!-~]+)(?:\s+([!-~]+))?")
_NAME = re.compile(r"(?![0-9]{4}-[0-9]{2}-)[!\"$-~]+")  # no date: it would read as EXPIRES
_TICK = 2_000_000_000  # nanoseconds: the coarsest file times, FAT's
_log = logging.getLogger(__name__)


class TokensError(Exception):
    """Raised when the token file cannot be read, written or changed as asked."""


class Token(NamedTuple):
    """The client that a token is for, and when it expires."""

    name: str
    expires: datetime


@lru_cache(maxsize=16)
def parse(data: bytes) -> tuple[dict[bytes, Token], list[str]]:
    """Return the tokens of a file's bytes by SHA-256, and a complaint for each malformed line.

    A `#` at the start or after a space starts a comment. Complaints never quote a line.
    """
    tokens: dict[bytes, Token] = {}
    complaints = []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        text = _COMMENT.sub("", line).strip()
        match = _LINE.fullmatch(text)
        if match and is_date_time(expires := match[3] or NEVER) and expires[:4] != "0000":
            # datetime cannot hold a leap second or year 0, nor parse lower-case t and z.
            moment = datetime.fromisoformat(expires.upper().replace(":60", ":59"))
            digest, token = bytes.fromhex(match[1]), Token(match[2], moment)
            tokens[digest] = max(token, tokens.get(digest, token), key=lambda t: t.expires)
        elif text:
            complaints.append(f"line {number}: expected {LINE!r}, EXPIRES an RFC 3339 date-time")
    return tokens, complaints


class TokenFile:
    """The token file at `path`. Each call sees the file as it is now."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._path = str(self.path)
        self._latest: tuple[object, bytes | None] = None, None  # the file's version and bytes

    def read(self) -> tuple[dict[bytes, Token], list[str]]:
        """Return `parse` of the file's bytes; raise `TokensError` if it cannot be read."""
        try:
            status, now = os.stat(self._path), time.time_ns()
            version = status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
            seen, data = before = self._latest
            if version != seen or data is None:
                data = self.path.read_bytes()
                # Two edits within a tick have one version: until it is over, read each time.
                self._latest = version if now - status.st_ctime_ns > _TICK else None, data
        except OSError as error:
            raise TokensError(f"cannot read {self.path}: {error.strerror}") from error
        tokens, complaints = parse(data)
        if complaints and before[1] not in (None, data):
            _log.error("%s, %s; %d lines are ignored", self.path, complaints[0], len(complaints))
        return tokens, complaints

    def check(self) -> None:
        """Raise `TokensError` unless the file has a token and every line is well-formed."""
        tokens, complaints = self.read()
        if complaints or not tokens:
            raise TokensError(
                f"{self.path}, {complaints[0] if complaints else 'no line has a token'}"
            )

    def verify(self, token: str) -> str | None:
        """Return the name of the client that holds `token`, or None; raise as `read` does."""
        tokens, _ = self.read()
        found = tokens.get(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())
        return found.name if found and found.expires > datetime.now(UTC) else None

    @contextmanager
    def adding(self, name: str, expires: str = "") -> Iterator[str]:
        """Yield a new token for `name`; store its digest if the block succeeds, or TokensError."""
        if not _NAME.fullmatch(name):
            raise TokensError(
                "a name has visible ASCII characters except #, and does not start with a date"
            )
        with self._rewriting(os.O_CREAT) as lines:
            if any(_is_of(line, name) for line in lines):
                raise TokensError(f"{name} has a token already: revoke it first")
            yield (token := secrets.token_urlsafe(32))
            digest = hashlib.sha256(token.encode()).hexdigest()
            lines.append(f"{digest} {name} {expires}".rstrip().encode())

    def revoke(self, name: str) -> bool:
        """Remove the tokens of `name`; return whether there were any; raise `TokensError`."""
        with self._rewriting() as lines:
            before = len(lines)
            lines[:] = [line for line in lines if not _is_of(line, name)]
            return len(lines) < before

    @contextmanager
    def _rewriting(self, flags: int = 0) -> Iterator[list[bytes]]:
        """Lock the file, yield its lines for the block to edit, and write them back."""
        try:
            with os.fdopen(os.open(self.path, os.O_RDWR | flags, 0o600), "r+b", 0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # a crash releases it
                old = file.read()
                lines = old.removesuffix(b"\n").split(b"\n") if old else []
                yield lines
                new = b"".join(line + b"\n" for line in lines)
                # One write: a reader sees the old lines or the new, at worst a line cut short.
                whole = os.pwrite(file.fileno(), new.ljust(len(old), b"\n"), 0) >= len(new)
                os.ftruncate(file.fileno(), len(new) if whole else len(old))
                if not whole:  # only an added line can be cut
                    raise TokensError(f"cannot write {self.path}: the disk is full")
        except OSError as error:
            raise TokensError(f"cannot write {self.path}: {error.strerror}") from error


def _is_of(line: bytes, name: str) -> bool:
    return name in [token.name for token in parse(line)[0].values()]


def bearer_auth(tokens: TokenFile) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that answers 401 to a request without one of `tokens` (RFC 6750, 3)."""
    auth = HTTPTokenAuth("Bearer", REALM)
    auth.verify_token(tokens.verify)

    @auth.error_handler  # type: ignore[untyped-decorator]  # the library ships no types
    def challenge(status: int) -> Response:
        value = f'Bearer realm="{REALM}"'
        detail = "Authentication is required: send a bearer token."
        credentials = request.authorization
        if credentials and credentials.type == "bearer" and credentials.token:
            detail = "The access token is unknown, expired or revoked."
            value += f', error="invalid_token", error_description="{detail}"'
        return problem_response(Problem(status, detail, headers={"WWW-Authenticate": value}))

    return auth.login_required  # type: ignore[no-any-return]
