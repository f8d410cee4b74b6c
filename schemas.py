"""The documented types, checked on load and on dump. Their descriptions are in openapi.yaml."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, cast

from marshmallow import Schema, ValidationError, fields, missing, validate

_UUID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(value: object) -> bool:
    """Return True if `value` is a string that encodes as UTF-8: a lone surrogate does not."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def is_uuid(value: object) -> bool:
    """Return True if `value` is a UUID in its 8-4-4-4-12 form, any letter case (RFC 9562, 4)."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def is_date_time(value: object) -> bool:
    """Return True if `value` is a date-time with its offset (RFC 3339, 5.6).

    The day must exist, and a leap second must be at 23:59 UTC (5.7).
    """
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        return False
    try:
        date.fromisoformat(value[:10].replace("0000-", "2000-"))  # Python has no year 0
    except ValueError:
        return False
    if value[17:19] != "60":
        return True
    minutes = int(value[11:13]) * 60 + int(value[14:16])
    if value[-1] not in "Zz":
        minutes -= int(f"{value[-6]}1") * (int(value[-5:-3]) * 60 + int(value[-2:]))
    return minutes % 1440 == 1439


def has_ended(job: Mapping[str, object]) -> bool:
    """Return True if a job has a `completed_at` or a final status."""
    return "completed_at" in job or job["status"] in ("completed", "failed", "cancelled")


class _Exact(fields.Field[Any]):
    """A field that keeps a value as it is if `accepts` is True. apispec reads its other base."""

    accepts: Callable[[object], bool]
    error: str

    def __init_subclass__(cls, *, accepts: Callable[[Any], bool], error: str) -> None:
        cls.accepts, cls.error = staticmethod(accepts), error

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not self.accepts(value):
            raise ValidationError(self.error)
        return value


class Text(_Exact, fields.String, accepts=is_text, error="Not a string that encodes as UTF-8."):
    """A string: see `is_text`."""


class Integer(_Exact, fields.Integer, accepts=lambda v: type(v) is int, error="Not an integer."):
    """An integer: no text, no 1.0, no true."""


class UUID(_Exact, fields.UUID, accepts=is_uuid, error="Not a UUID in its 8-4-4-4-12 form."):
    """A UUID: see `is_uuid`."""


class DateTime(_Exact, fields.DateTime, accepts=is_date_time, error="Not an RFC 3339 date-time."):
    """A date-time: see `is_date_time`."""


class JobSchema(Schema):
    """A bulk action job: the documented members in the documented order."""

    job_id = UUID(required=True)
    criteria_json = Text(required=True)
    action_type = Text(required=True)
    action_duration = Integer(required=True)
    action_reason = Text(required=True)
    scheduled_at = DateTime(required=True)
    executed_at = DateTime()  # left out until its execution has started
    completed_at = DateTime()  # left out until its execution has ended
    max_limit = Integer(required=True)
    preview_count = Integer(required=True)
    affected_count = Integer(required=True)
    status = Text(required=True)
    progress_percent = Integer(required=True)
    created_by = Text(required=True)
    created_at = DateTime(required=True)
    updated_at = DateTime(required=True)

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return the members of the mapping `obj`, or of each of many, in the documented order.

        Raises ValidationError where `load` would; marshmallow's own dump checks nothing.
        """
        if self.many if many is None else many:
            return [self.dump(each, many=False) for each in obj]
        members = {}
        for name, field in cast("dict[str, _Exact]", self.fields).items():
            value = obj.get(name, missing)
            if field.accepts(value):
                members[name] = value
            elif value is not missing or field.required:
                raise ValidationError(self.validate({n: obj[n] for n in self.fields if n in obj}))
        return members


class ProblemSchema(Schema):
    """A problem details object (RFC 9457, 3.1) with the members that the documentation adds."""

    type = Text(metadata={"format": "uri-reference", "default": "about:blank"})
    title = Text()
    status = Integer(validate=validate.Range(100, 599), metadata={"format": "int32"})
    detail = Text()
    instance = Text(metadata={"format": "uri-reference"})
    error = Text(metadata={"deprecated": True})
    details = fields.Dict(keys=Text(), values=Text(), metadata={"deprecated": True})
    requestId = Text()  # noqa: N815 (the documented name)
