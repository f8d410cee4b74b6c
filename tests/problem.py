"""The envelope that every error comes in."""

from http import HTTPStatus

from werkzeug.test import TestResponse


def assert_problem(
    response: TestResponse,
    status: int,
    detail: str | None = None,
    details: dict[str, str] | None = None,
) -> None:
    """Check the whole answer; without a `detail`, only that there is one, which a 500 shares."""
    problem = response.get_json(force=True)
    if status == 500:
        detail = "The server could not answer. Its log has the cause."
    expected = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or problem["detail"],
        "instance": problem["instance"],
        "error": detail or problem["detail"],
        "requestId": response.headers["X-Request-Id"],
    }
    assert problem == (expected | {"details": details} if details else expected)
    assert problem["detail"]
    assert response.status_code == status
    assert response.text.endswith("}\n")
    assert response.headers.getlist("Content-Type") == ["application/problem+json"]
    assert response.headers["Cache-Control"] == "no-store"
