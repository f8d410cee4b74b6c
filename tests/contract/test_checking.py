"""The check of every answer, seen to fail."""

import json
from collections.abc import Callable

import pytest
from conftest import JOB, Get, Plant
from flask import Flask, Response

Change = Callable[[Response], object]


def body(**members: object) -> Change:
    return lambda response: response.set_data(json.dumps(JOB | members))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: setattr(r, "status_code", 418), "no documented status"),
        (lambda r: setattr(r, "content_type", "text/html"), "no documented content type"),
        (lambda r: r.headers.add("Server-Timing", "db"), "an undocumented header"),
        (lambda r: r.headers.remove("ETag"), "no ETag"),
        (lambda r: r.headers.set("Retry-After", "soon"), "Retry-After"),
        (lambda r: r.set_data("{}"), "required property"),
        (body(updated_at="2026-02-30T00:00:00Z"), "date-time"),
        (body(max_limit="5"), "integer"),
        (body(completed_at=None), "null"),
    ],
)
def test_an_answer_that_breaks_the_document_fails_its_test(
    app: Flask, get: Get, plant: Plant, change: Change, complaint: str
) -> None:
    plant()
    app.after_request(lambda response: change(response) or response)
    with pytest.raises((AssertionError, ValueError), match=complaint):
        get()
