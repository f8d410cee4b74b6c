"""The check of every answer, seen to fail."""

import json
from collections.abc import Callable

import pytest
from checking import CheckedClient, check
from conftest import JOB, Get, Plant, url
from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def test_the_tests_client_is_checked(client: FlaskClient) -> None:
    assert isinstance(client, CheckedClient)


WRONG: dict[str, tuple[Callable[[TestResponse], object], str]] = {
    "an undocumented status": (lambda r: setattr(r, "status_code", 418), "no documented status"),
    "an undocumented type": (
        lambda r: setattr(r, "content_type", "text/html"),
        "no documented content type",
    ),
    "an undocumented header": (
        lambda r: r.headers.add("Server-Timing", "db"),
        "an undocumented header",
    ),
    "no ETag": (lambda r: r.headers.remove("ETag"), "no ETag"),
    "no request id": (lambda r: r.headers.remove("X-Request-Id"), "no X-Request-Id"),
    "a Retry-After that is no number": (
        lambda r: r.headers.set("Retry-After", "soon"),
        "Retry-After",
    ),
    "no member": (lambda r: r.set_data("{}"), "required property"),
    "no uuid": (lambda r: r.set_data(json.dumps(JOB | {"job_id": "0" * 32})), "uuid"),
    "no date-time": (
        lambda r: r.set_data(json.dumps(JOB | {"updated_at": "2026-02-30T00:00:00Z"})),
        "date-time",
    ),
    "no integer": (lambda r: r.set_data(json.dumps(JOB | {"max_limit": "5"})), "integer"),
    "a null": (lambda r: r.set_data(json.dumps(JOB | {"completed_at": None})), "null"),
}


@pytest.mark.parametrize(("change", "complaint"), WRONG.values(), ids=WRONG)
def test_an_answer_that_breaks_the_document_fails_the_test(
    get: Get, plant: Plant, change: Callable[[TestResponse], object], complaint: str
) -> None:
    plant()
    response = get()
    change(response)
    with pytest.raises((AssertionError, ValueError), match=complaint):
        check(response)


def test_a_body_where_none_is_documented_fails_the_test(client: FlaskClient) -> None:
    response = client.head(url())
    response.set_data("body")
    with pytest.raises(AssertionError):
        check(response)
