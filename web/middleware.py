"""What every request and answer has, by one path: an id, common headers, a line in the log."""

import logging
import random
import re
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID = "bulk_action_jobs.request_id"  # where the WSGI environment has it
CLIENT = "bulk_action_jobs.client"  # the name of the client, once its token is known
_VALID_ID = re.compile("[A-Za-z0-9._-]{1,128}")
_log = logging.getLogger("bulk_action_jobs")


def reference(environ: "WSGIEnvironment", path: str | None = None) -> str:
    """Return `path`, or the request's, below the mount point, as a URI reference (RFC 3986)."""
    path = environ.get("PATH_INFO", "") if path is None else path
    path = environ.get("SCRIPT_NAME", "") + path  # PEP 3333: bytes as Latin-1
    path = quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1")
    # Its first segment is neither a host nor a scheme.
    dot = "/." if path.startswith("//") else "./" if ":" in path.partition("/")[0] else ""
    return dot + path


def identified(app: "WSGIApplication") -> "WSGIApplication":
    """Return a WSGI application that answers as `app` does, and gives each request an id.

    The id is the client's X-Request-Id if that is 1 to 128 characters of A-Z a-z 0-9 . _ -, else
    32 random hexadecimal digits. The log has a line for each request if its level is INFO.
    """

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        started = time.perf_counter_ns()
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if _VALID_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
        environ[REQUEST_ID] = request_id
        code = ""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal code
            code = status[:3]
            headers += [("X-Request-Id", request_id), ("X-Content-Type-Options", "nosniff")]
            return start_response(status, headers, exc_info)

        body = app(environ, start)
        if _log.isEnabledFor(logging.INFO):
            took = (time.perf_counter_ns() - started) // 1000
            client, method = environ.get(CLIENT, "-"), quote(environ["REQUEST_METHOD"])
            _log.info(
                "%s %s %s %s %s %d", request_id, client, method, reference(environ), code, took
            )
        return body

    return answer


def log_requests() -> None:
    """Log each request to standard output: time (UTC), id, client, method, path, status, µs."""
    if _log.handlers:
        return  # another application of this process has set it up, or its host
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
