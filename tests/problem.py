"""The envelope that every error comes in."""

from http import HTTPStatus

from werkzeug.test import TestResponse


def assert_problem(
    response: TestResponse, status: int, detail: str = "", details: dict[str, str] | None = None
) -> None:
    """Check the whole answer; without a `detail`, only that there is one, which a 500 shares."""
    problem = response.get_json(force=True)
    if status == 500:
        detail = "The server could not answer. Its log has the cause."
    assert problem["detail"]
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or problem["detail"],
        "instance": problem["instance"],
        "error": problem["detail"],
        **({"details": details} if details else {}),
        "requestId": response.headers["X-Request-Id"],
    }
    assert list(problem.items()) == list(members.items())  # in the documented order
    assert response.status_code == status
    assert response.text.endswith("}\n")
    assert response.headers.getlist("Content-Type") == ["application/problem+json"]
    assert response.headers["Cache-Control"] == "no-store"
