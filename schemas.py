"""The members of a job and of a problem. A job's types are exact, on load and on dump."""

import re
from calendar import isleap
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

STATUSES = ("scheduled", "running", "completed", "failed", "cancelled")
FINAL_STATUSES = ("completed", "failed", "cancelled")
ACTION_TYPES = ("block", "deny", "throttle", "monitor", "allow", "cleanup")

_UUID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE_TIME = re.compile(
    "[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9])|(?:0[13-9]|1[0-2])-30|(?:0[13578]|1[02])-31)"
    r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_SURROGATE = re.compile("[\ud800-\udfff]")

Job = tuple[Any, ...]  # a row as it is stored: for each of MEMBERS a value, right or wrong, or None


def is_text(value: object) -> bool:
    """Return True if `value` is a string that encodes as UTF-8: a lone surrogate does not."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def is_uuid(value: object) -> bool:
    """Return True if `value` is a UUID in its 8-4-4-4-12 form, any letter case (RFC 9562, 4)."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def is_date_time(value: object) -> bool:
    """Return True for an RFC 3339 date-time: its day exists, and a leap second ends a UTC day."""
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        return False
    if "-02-29" in value and not isleap(int(value[:4])):
        return False
    if ":60" not in value:
        return True
    before = datetime.fromisoformat(f"2000-01-02{value[10:].upper().replace(':60', ':59')}")
    return before.astimezone(UTC).strftime("%H:%M") == "23:59"


def _exact(base: type[Any], is_right: Callable[[object], bool], complaint: str) -> type[Any]:
    """Return a field that keeps a value as it is, or refuses it. apispec reads its `base`."""

    class Exact(base):  # type: ignore[misc]  # its class is known when it runs
        accepts = staticmethod(is_right)

        def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
            if not is_right(value):
                raise ValidationError(complaint)
            return value

    return Exact


_Text = _exact(fields.String, is_text, "Not a string that encodes as UTF-8.")
_Integer = _exact(fields.Integer, lambda value: type(value) is int, "Not an integer.")
_Uuid = _exact(fields.UUID, is_uuid, "Not a UUID in its 8-4-4-4-12 form.")
_DateTime = _exact(fields.DateTime, is_date_time, "Not an RFC 3339 date-time.")


class JobSchema(Schema):
    """A bulk action job: the documented members in the documented order."""

    job_id = _Uuid(required=True)
    criteria_json = _Text(required=True)
    action_type = _Text(required=True)
    action_duration = _Integer(required=True)
    action_reason = _Text(required=True)
    scheduled_at = _DateTime(required=True)
    executed_at = _DateTime()  # left out until its execution has started
    completed_at = _DateTime()  # left out until its execution has ended
    max_limit = _Integer(required=True)
    preview_count = _Integer(required=True)
    affected_count = _Integer(required=True)
    status = _Text(required=True)
    progress_percent = _Integer(required=True)
    created_by = _Text(required=True)
    created_at = _DateTime(required=True)
    updated_at = _DateTime(required=True)

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return the members of one mapping, without None and unknown ones, or raise as `load`."""
        # marshmallow's own dump checks no type, and fails on a time that is text, as it is stored.
        # Its hooks, such as post_dump, do not run here, and `many` has no effect.
        members = {}
        for name, field in self.fields.items():
            value = obj.get(name)
            if field.accepts(value):  # type: ignore[attr-defined]  # it is exact
                members[name] = value
            elif value is not None or field.required:
                present = {name: obj[name] for name in self.fields if obj.get(name) is not None}
                raise ValidationError(self.validate(present))
        return members


MEMBERS = tuple(JobSchema().fields)


class ProblemSchema(Schema):
    """A problem details object (RFC 9457, 3.1) with the members that the documentation adds."""

    type = _Text(metadata={"format": "uri-reference", "default": "about:blank"})
    title = _Text()
    status = _Integer(validate=validate.Range(100, 599), metadata={"format": "int32"})
    detail = _Text()
    instance = _Text(metadata={"format": "uri-reference"})
    error = _Text(metadata={"deprecated": True})
    details = fields.Dict(keys=_Text(), values=_Text(), metadata={"deprecated": True})
    requestId = _Text()  # noqa: N815 (the documented name)
