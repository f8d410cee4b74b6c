"""The bearer-token decorator (RFC 6750)."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Response, request

from store import JobStore
from web.framework import CLIENT, JOB, BearerAuth, problem


def bearer_auth(store: JobStore) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator: it answers 401 without a token of `store`, and reads the job, too."""
    auth = BearerAuth("Bearer", realm="bulk-action-jobs")

    @auth.verify_token  # type: ignore[untyped-decorator]  # the library ships no types
    def verify(token: str) -> str | None:
        job_id = str((request.view_args or {}).get("id", ""))  # a route without an id: no job
        client, job = store.get(_digest(token), job_id)
        request.environ.update({CLIENT: client, JOB: job})
        return client

    @auth.error_handler  # type: ignore[untyped-decorator]
    def challenge(status: int) -> Response:
        if not auth.get_auth().token:  # the library adds the challenge, without an error
            return problem(status, "Authentication is required: send a bearer token.")
        detail = "The access token is unknown, expired or revoked."
        value = f'{auth.authenticate_header()}, error="invalid_token", error_description="{detail}"'
        return problem(status, detail, ("WWW-Authenticate", value))

    return auth.login_required  # type: ignore[no-any-return]


# Tokens are looked up by digest: response times tell at most a digest, and that is no token.
@lru_cache(maxsize=1024)  # to make one takes a twentieth of a request
def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
