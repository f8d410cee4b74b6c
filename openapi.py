"""Updates openapi.yaml: types from the schemas, examples from the demo, descriptions as written."""

import json
import logging
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from flask.testing import FlaskClient

import demo
import store
from schemas import JobSchema, ProblemSchema

CONTRACT = Path(__file__).with_name("openapi.yaml")
MOMENT = datetime(2026, 5, 16, 12, tzinfo=UTC)  # of the examples, so that the file stays the same
REQUEST_ID = "0f8fad5bd9cb469fa16570867728950e"


def update(make_app: Callable[..., Flask]) -> None:
    """Bring openapi.yaml up to date, whole or not at all; `make_app` is `app.create_app`.

    Raises what `build` raises.
    """
    with tempfile.TemporaryDirectory() as folder:
        store.create(database := Path(folder, "demo.db"), demo.jobs(MOMENT))
        settings = {"DATABASE": database, "TOKENS_FILE": demo.TOKENS_FILE, "TRUSTED_HOSTS": None}
        app = make_app(settings)
        with closing(app.extensions["bulk_action_jobs"]):
            text = build(CONTRACT.read_text("utf-8"), app.test_client())
    new = CONTRACT.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(CONTRACT)


def build(text: str, client: FlaskClient) -> str:
    """Return the document `text` with types of the schemas and examples as `client` is answered.

    Raises `click.ClickException`, one line that names a member without a description in `text`, or
    without an example in any answer.
    """
    document = yaml.safe_load(text)
    values = _answer(document, client)
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Job", schema=JobSchema)
    spec.components.schema("Problem", schema=ProblemSchema)
    for kind, schema in spec.to_dict()["components"]["schemas"].items():
        del schema["additionalProperties"]  # the contract allows more members
        written = document["components"]["schemas"][kind]
        for name, member in schema["properties"].items():
            member["description"] = written["properties"].get(name, {}).get("description")
            member["examples"] = values.get(f"#/components/schemas/{kind}.{name}")
            for part in ("description", "examples"):
                if not member[part]:
                    raise click.ClickException(f"openapi.yaml: {kind}.{name} has no {part}.")
        written |= schema
    plain = json.loads(json.dumps(document))  # no types of apispec's, no aliases
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)


def _answer(document: dict[str, Any], client: FlaskClient) -> dict[str, list[Any]]:
    """Put the answer to its `x-request` into each example; return each member's first value."""
    values: dict[str, list[Any]] = {}
    client.environ_base["HTTP_X_REQUEST_ID"] = REQUEST_ID
    responses = [
        r for path in document["paths"].values() for r in path["get"]["responses"].values()
    ]
    for content in [c for r in responses for c in r.get("content", {}).values()]:
        for example in content["examples"].values():
            if asked := example.get("x-request"):  # arguments of client.open
                logging.disable()  # the demo's broken job would log a traceback
                example["value"] = client.open(**asked).get_json(force=True)
                logging.disable(logging.NOTSET)
            for name, value in example["value"].items():
                values.setdefault(f"{content['schema']['$ref']}.{name}", [value])
    return values


class _Dumper(yaml.SafeDumper):
    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> Any:
        """Write a text of several lines as such."""
        return super().represent_scalar(tag, value, "|" if "\n" in str(value) else style)
