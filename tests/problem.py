"""The envelope that every error comes in."""

from http import HTTPStatus
from urllib.parse import unquote

from werkzeug.test import TestResponse

FAILED = "The server could not answer. Its log has the cause."


def assert_problem(
    response: TestResponse,
    status: int,
    detail: str | None = None,
    details: dict[str, str] | None = None,
) -> None:
    """Check the whole answer; without a `detail`, only that there is one (FAILED for a 500)."""
    problem = response.get_json(force=True)
    if status == 500:
        detail = FAILED
    expected = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or problem["detail"],
        "instance": problem["instance"],
        "error": detail or problem["detail"],
        "requestId": response.headers["X-Request-Id"],
    }
    if details:
        expected["details"] = details
    assert problem == expected
    assert problem["detail"]
    path = response.request.environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    assert unquote(problem["instance"]).removeprefix("/.") == path
    assert response.status_code == status
    assert response.text.endswith("}\n")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
