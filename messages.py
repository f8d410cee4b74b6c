"""HTTP messages (RFC 9110, 6): a request with an id, and a response that goes out as it is."""

import random
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import flask
from werkzeug.datastructures import Authorization, Headers
from werkzeug.utils import cached_property

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Request(flask.Request):
    """A request with an id, and the time when it came. Its method is in the case it came in.

    `id` is the client's own X-Request-Id where it is fit for a header and a log line, else a new
    one: 32 hexadecimal digits. `started` is of `time.perf_counter_ns`.
    """

    def __init__(self, environ: "WSGIEnvironment", *args: Any, **kwargs: Any) -> None:
        super().__init__(environ, *args, **kwargs)
        self.started = time.perf_counter_ns()
        self.method: str = environ["REQUEST_METHOD"]
        self.id: str = environ.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(self.id):
            self.id = f"{random.getrandbits(128):032x}"  # no secret  # nosec B311

    @cached_property
    def authorization(self) -> Authorization | None:
        """Return the scheme and the token of Authorization (RFC 9110, 11.6.2), None without it.

        Werkzeug would decode the credentials of other schemes, and fail on some.
        """
        header = self.environ.get("HTTP_AUTHORIZATION")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        return Authorization(scheme.lower(), token=token.strip(" \t"))

    @property
    def instance(self) -> str:
        """The path of the request, mount point included, as a URI reference."""
        return self.reference(self.environ.get("PATH_INFO", ""))

    def reference(self, path: str) -> str:
        """Return a path under the mount point as a URI reference (RFC 3986, 4.2).

        `path` is as in PATH_INFO: bytes in Latin-1. Two slashes in front would name a host, and a
        colon in the first segment a scheme: a dot segment keeps them a path.
        """
        path = self.environ.get("SCRIPT_NAME", "") + path
        quoted = quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1")
        if quoted.startswith("//"):
            return f"/.{quoted}"
        return f"./{quoted}" if ":" in quoted.partition("/")[0] else quoted


def current_request() -> Request:
    """Return the request that is being answered: each look through Flask's proxy costs time."""
    return cast("Request", flask.request._get_current_object())  # type: ignore[attr-defined]


class _Headers(Headers):
    """Headers known to be well-formed: they do without a check of each."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._list = list(items)

    def add(self, key: str, value: str, /) -> None:  # type: ignore[override]  # no options
        """Add a header."""
        self._list.append((key, value))


class Response(flask.Response):
    """A response whose headers are complete and well-formed: to look through them costs time.

    They include Content-Type, and Content-Length, where the documentation has them.
    """

    default_mimetype = None

    def __init__(self, body: bytes, status: int, headers: Iterable[tuple[str, str]]) -> None:
        super().__init__((body,) if body else (), status, _Headers(headers))

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer as the documentation of WSGI says (PEP 3333)."""
        if self._on_close:  # somebody waits for the end
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.iter_encoded()
