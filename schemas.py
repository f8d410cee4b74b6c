"""What the service sends, to the letter: the job and the problem of its documentation.

Every field checks on load and on dump alike, and passes the value on unchanged. marshmallow's own
fields check nothing on dump, and take many a looser form on load.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def is_text(value: object) -> bool:
    """Tell whether `value` is text that UTF-8 can carry: a lone surrogate cannot."""
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def is_integer(value: object) -> bool:
    """Tell whether `value` is a whole number: no text, no 1.0, no true."""
    return type(value) is int


def is_uuid(value: object) -> bool:
    """Tell whether `value` is a UUID's text in its 8-4-4-4-12 form, in any case (RFC 9562, 4)."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def is_date_time(value: object) -> bool:
    """Tell whether `value` is the text of a date-time with its offset (RFC 3339, 5.6).

    Its day is one of the calendar, and a leap second falls at 23:59 UTC (5.7).
    """
    match = _DATE_TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return False
    year, month, day, hour, minute, second, sign, offset_hour, offset_minute = match.groups()
    try:
        date(int(year) or 2000, int(month), int(day))  # year 0 is a leap year, as 2000 is
    except ValueError:
        return False
    if second != "60":
        return True
    offset = int(sign + "1") * (int(offset_hour) * 60 + int(offset_minute)) if sign else 0
    return (int(hour) * 60 + int(minute) - offset) % 1440 == 1439


class _Exact(fields.Field[Any]):
    """A field that lets a value pass unchanged where `accepts` says so, on load and on dump alike.

    On dump, too, a required member that is missing, a null and a failed validator are errors.
    """

    accepts: Callable[[object], bool]
    error: str

    def serialize(self, attr: str, obj: Any, accessor: Any = None, **_: Any) -> Any:
        try:
            return self.deserialize(self.get_value(obj, attr, accessor=accessor))
        except ValidationError as error:
            raise ValidationError({attr: error.messages}) from None

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not self.accepts(value):
            raise ValidationError(self.error)
        return value


class Text(_Exact, fields.String):
    """A field of text: see `is_text`."""

    accepts = staticmethod(is_text)
    error = "Not text in UTF-8."


class Integer(_Exact, fields.Integer):
    """A field of whole numbers: see `is_integer`."""

    accepts = staticmethod(is_integer)
    error = "Not an integer."


class UUID(_Exact, fields.UUID):
    """A field of UUIDs: see `is_uuid`."""

    accepts = staticmethod(is_uuid)
    error = "Not a UUID in its 8-4-4-4-12 form (RFC 9562)."


class DateTime(_Exact, fields.DateTime):
    """A field of date-times: see `is_date_time`."""

    accepts = staticmethod(is_date_time)
    error = "Not a date-time with its offset (RFC 3339)."


def _described(description: str, *examples: str | int, **keywords: Any) -> dict[str, Any]:
    """Return the OpenAPI keywords of a field that marshmallow does not know."""
    return {"description": description, **({"examples": examples} if examples else {}), **keywords}


class JobSchema(Schema):
    """A bulk action job: the documented members, in the documented order."""

    job_id = UUID(
        required=True,
        metadata=_described(
            "The job's UUID (RFC 9562).",
            "22222222-2222-4222-8222-222222222222",
        ),
    )
    criteria_json = Text(
        required=True,
        metadata=_described(
            "The criteria that select the clients: JSON, carried as a string.",
            '{"protocol": "dhcpv4", "relay": "10.20.0.1", "min_request_count": 500}',
        ),
    )
    action_type = Text(
        required=True,
        metadata=_described(
            "What is done to each client. Known values: `block`, `deny`, `throttle`, `monitor`, "
            "`allow`, `cleanup`; clients must expect others.",
            "throttle",
        ),
    )
    action_duration = Integer(
        required=True, metadata=_described("How long the action lasts, in seconds.", 7200)
    )
    action_reason = Text(
        required=True,
        metadata=_described("Why, in the operator's words.", "DHCPDISCOVER flood on port 14"),
    )
    scheduled_at = DateTime(
        required=True,
        metadata=_described("When the job is due to start.", "2026-05-16T08:00:00Z"),
    )
    executed_at = DateTime(
        metadata=_described(
            "When its execution started. Left out until then: a scheduled job, or one cancelled "
            "before it started, has none.",
            "2026-05-16T08:00:02.184467441Z",
        )
    )
    completed_at = DateTime(
        metadata=_described(
            "When its execution ended, whatever the outcome. Left out until then.",
            "2026-05-16T10:04:41+02:00",
        )
    )
    max_limit = Integer(
        required=True,
        metadata=_described("The most clients that the job may act on, in clients.", 2000),
    )
    preview_count = Integer(
        required=True,
        metadata=_described(
            "How many clients the criteria selected when the job was made, in clients.", 1840
        ),
    )
    affected_count = Integer(
        required=True,
        metadata=_described("How many clients the job has acted on so far, in clients.", 773),
    )
    status = Text(
        required=True,
        metadata=_described(
            "The job's state. Known values: `scheduled`, `running`, `completed`, `failed`, "
            "`cancelled`; clients must expect others.",
            "running",
        ),
    )
    progress_percent = Integer(
        required=True, metadata=_described("How far its execution is, in percent.", 42)
    )
    created_by = Text(required=True, metadata=_described("Who made the job.", "noc-oncall"))
    created_at = DateTime(
        required=True, metadata=_described("When the job was made.", "2026-05-16T07:58:12Z")
    )
    updated_at = DateTime(
        required=True, metadata=_described("When the job last changed.", "2026-05-16T08:03:20Z")
    )


class ProblemSchema(Schema):
    """A problem details object (RFC 9457, 3.1), with the members that the documentation adds."""

    type = Text(
        metadata=_described(
            "A URI reference that identifies the problem type.",
            format="uri-reference",
            default="about:blank",
        )
    )
    title = Text(metadata=_described("A short human-readable summary of the problem.", "Not Found"))
    status = Integer(
        validate=validate.Range(100, 599),
        metadata=_described(
            "The HTTP status code generated by the origin server.", 404, format="int32"
        ),
    )
    detail = Text(
        metadata=_described(
            "A human-readable explanation specific to this occurrence.",
            "No bulk action job has this id.",
        )
    )
    instance = Text(
        metadata=_described(
            "A URI reference that identifies the specific occurrence: the path of the request.",
            "/api/actions/bulk/jobs/00000000-0000-4000-8000-000000000000",
            format="uri-reference",
        )
    )
    error = Text(
        metadata=_described(
            "Legacy error message field: repeats `detail`. Will be removed once clients have "
            "migrated.",
            "No bulk action job has this id.",
            deprecated=True,
        )
    )
    details = fields.Dict(
        keys=Text(),
        values=Text(),
        metadata=_described(
            "Legacy per-field error details: what is wrong with the member of that name. Will be "
            "removed once clients have migrated.",
            deprecated=True,
        ),
    )
    requestId = Text(  # noqa: N815 (the documented name)
        metadata=_described(
            "The request id middleware-assigned identifier for tracing, as in `X-Request-Id`.",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
        )
    )
