"""What the service sends, to the letter: the job and the problem of its documentation.

Every field checks on load and on dump alike, and passes the value on unchanged. marshmallow's own
fields check nothing on dump, and take many a looser form on load.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from json.encoder import encode_basestring
from typing import Any, cast

from marshmallow import Schema, ValidationError, fields, missing, validate

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8]|(?P<late_day>29|3[01]))"
    r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|(?P<leap_second>60))(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def is_text(value: object) -> bool:
    """Tell whether `value` is text that UTF-8 can carry: a lone surrogate cannot."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    if not isinstance(value, str) or not (match := _DATE_TIME.fullmatch(value)):
        return False
    if match.lastindex is None:  # neither group: most are that
        return True
    if match["late_day"]:
        try:  # year 0 is a leap year, as 2000 is
            date(int(value[:4]) or 2000, int(value[5:7]), int(value[8:10]))
        except ValueError:
            return False
    if not match["leap_second"]:
        return True
    minutes = int(value[11:13]) * 60 + int(value[14:16])
    if value[-1] not in "Zz":
        minutes -= int(f"{value[-6]}1") * (int(value[-5:-3]) * 60 + int(value[-2:]))
    return minutes % 1440 == 1439


def has_ended(job: Mapping[str, object]) -> bool:
    """Tell whether a job has reached its end: by its `completed_at`, or by its status."""
    return "completed_at" in job or job.get("status") in ("completed", "failed", "cancelled")


class _Exact(fields.Field[Any]):
    """A field that lets a value pass unchanged where `accepts` says so, on load and on dump alike.

    What it dumps is a mapping. On dump, too, a required member that is missing, a null and a failed
    validator are errors. The other base class of each field tells apispec its type and format.
    """

    accepts: Callable[[object], bool]
    error: str

    def serialize(self, attr: str, obj: Any, accessor: Any = None, **_: Any) -> Any:
        try:  # a mapping: marshmallow would look for an attribute, too
            return self.deserialize(obj.get(attr, missing))
        except ValidationError as error:
            raise ValidationError({attr: error.messages}) from None

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not self.accepts(value):
            raise ValidationError(self.error)
        return value


class Text(_Exact, fields.String):
    """A field of text: see `is_text`."""

    accepts = staticmethod(is_text)
    error = "Not a string that UTF-8 can carry."


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


class TextMap(_Exact, fields.Dict):
    """A field of an object whose members are text."""

    accepts = staticmethod(
        lambda value: isinstance(value, dict) and all(map(is_text, (*value, *value.values())))
    )
    error = "Not an object of strings."


def to_json(members: Mapping[str, str | int]) -> str:
    """Return an object of text and integers as JSON on one line; its names are to need no escape.

    The json module takes twice as long: it does not know that there is nothing else.
    """
    pairs = [
        f'"{name}": {encode_basestring(value) if isinstance(value, str) else value}'
        for name, value in members.items()
    ]
    return f"{{{', '.join(pairs)}}}"


class JobSchema(Schema):
    """A bulk action job: the documented members, in the documented order."""

    class Meta:
        """OpenAPI's words for the whole."""

        title = "Bulk action job"
        description = (
            "A bulk action on the clients of a network appliance, and how far it is. `executed_at` "
            "and `completed_at` are left out until the job has reached them; all else is always "
            "there. More members may come."
        )

    job_id = UUID(required=True, metadata={"description": "The job's UUID (RFC 9562)."})
    criteria_json = Text(
        required=True,
        metadata={
            "description": "The criteria that select the clients: JSON, carried as a string."
        },
    )
    action_type = Text(
        required=True,
        metadata={
            "description": "What is done to each client. Known values: `block`, `deny`, "
            "`throttle`, `monitor`, `allow`, `cleanup`; clients must expect others."
        },
    )
    action_duration = Integer(
        required=True, metadata={"description": "How long the action lasts, in seconds."}
    )
    action_reason = Text(required=True, metadata={"description": "Why, in the operator's words."})
    scheduled_at = DateTime(
        required=True, metadata={"description": "When the job is due to start."}
    )
    executed_at = DateTime(
        metadata={
            "description": "When its execution started. Left out until then: a scheduled job, or "
            "one cancelled before it started, has none."
        }
    )
    completed_at = DateTime(
        metadata={
            "description": "When its execution ended, whatever the outcome. Left out until then."
        }
    )
    max_limit = Integer(
        required=True, metadata={"description": "The most clients that the job may act on."}
    )
    preview_count = Integer(
        required=True,
        metadata={"description": "How many clients the criteria selected when the job was made."},
    )
    affected_count = Integer(
        required=True, metadata={"description": "How many clients the job has acted on so far."}
    )
    status = Text(
        required=True,
        metadata={
            "description": "The job's state. Known values: `scheduled`, `running`, `completed`, "
            "`failed`, `cancelled`; clients must expect others."
        },
    )
    progress_percent = Integer(
        required=True, metadata={"description": "How far its execution is, in percent."}
    )
    created_by = Text(required=True, metadata={"description": "Who made the job."})
    created_at = DateTime(required=True, metadata={"description": "When the job was made."})
    updated_at = DateTime(required=True, metadata={"description": "When the job last changed."})


_JOB = JobSchema()
_PASSES = {name: field.accepts for name, field in cast("dict[str, _Exact]", _JOB.fields).items()}


def dump_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return or raise what `JobSchema().dump` does: its own loop takes twice as long.

    No validators are asked: the schema has none.
    """
    members = {}
    for name, passes in _PASSES.items():
        value = job.get(name, missing)
        if passes(value):
            members[name] = value
        elif value is not missing or _JOB.fields[name].required:
            return dict(_JOB.dump(job))  # which says what is wrong
    return members


class ProblemSchema(Schema):
    """A problem details object (RFC 9457, 3.1), with the members that the documentation adds."""

    class Meta:
        """OpenAPI's words for the whole."""

        title = "Problem details"
        description = (
            "Standardised error envelope per RFC 7807, now RFC 9457. `error` and `details` are the "
            "older shape's, for clients that have not migrated."
        )

    type = Text(
        metadata={
            "description": "A URI reference that identifies the problem type.",
            "format": "uri-reference",
            "default": "about:blank",
        }
    )
    title = Text(metadata={"description": "A short human-readable summary of the problem."})
    status = Integer(
        validate=validate.Range(100, 599),
        metadata={
            "description": "The HTTP status code generated by the origin server.",
            "format": "int32",
        },
    )
    detail = Text(
        metadata={"description": "A human-readable explanation specific to this occurrence."}
    )
    instance = Text(
        metadata={
            "description": "A URI reference that identifies the specific occurrence: the path of "
            "the request.",
            "format": "uri-reference",
        }
    )
    error = Text(
        metadata={
            "description": "Legacy error message field: repeats `detail`. Will be removed once "
            "clients have migrated.",
            "deprecated": True,
        }
    )
    details = TextMap(
        keys=Text(),
        values=Text(),
        metadata={
            "description": "Legacy per-field error details: what is wrong with the member of that "
            "name. Will be removed once clients have migrated.",
            "deprecated": True,
        },
    )
    requestId = Text(  # noqa: N815 (the documented name)
        metadata={
            "description": "The request id middleware-assigned identifier for tracing, as in "
            "`X-Request-Id`."
        }
    )
