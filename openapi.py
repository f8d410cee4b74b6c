"""Updates openapi.yaml: types from the schemas, examples from the demo. Descriptions stay."""

import json
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

import demo
import store
from schemas import JobSchema, ProblemSchema

CONTRACT = Path(__file__).with_name("openapi.yaml")
MOMENT = datetime(2026, 5, 16, 12, tzinfo=UTC)  # fixed: so the examples stay the same


def update(make_app: Any) -> None:
    """Update openapi.yaml, atomically; `make_app` is `app.create_app` (app imports this)."""
    with tempfile.TemporaryDirectory() as folder:
        store.create(database := Path(folder, "demo.db"), demo.jobs(MOMENT))
        app = make_app({"DATABASE": database, "TOKENS_FILE": demo.TOKENS_FILE})
        with closing(app.extensions["bulk_action_jobs"]):
            text = build(CONTRACT.read_text("utf-8"), app.test_client())
    (new := CONTRACT.with_suffix(".new")).write_text(text, "utf-8")
    new.replace(CONTRACT)


def build(text: str, client: Any) -> str:
    """Return the document `text` with the schemas' types, and examples from a test `client`.

    Raises `click.ClickException`, which names a member without a description or an example.
    """
    document = yaml.safe_load(text)
    operations = [path["get"] for path in document["paths"].values()]
    responses = [response for o in operations for response in o["responses"].values()]
    values: dict[str, list[Any]] = {}  # the first example of each member
    client.environ_base["HTTP_X_REQUEST_ID"] = "0f8fad5bd9cb469fa16570867728950e"
    for content in [c for r in responses for c in r.get("content", {}).values()]:
        for example in content["examples"].values():
            if asked := example.get("x-request"):  # arguments of client.open
                example["value"] = client.open(**asked).get_json(force=True)
            for name, value in example["value"].items():
                values.setdefault(f"{content['schema']['$ref']}.{name}", [value])
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Job", schema=JobSchema)
    spec.components.schema("Problem", schema=ProblemSchema)
    for kind, schema in spec.to_dict()["components"]["schemas"].items():
        del schema["additionalProperties"]  # the contract allows more members
        written = document["components"]["schemas"][kind]
        for name, member in schema["properties"].items():
            member["description"] = written["properties"].get(name, {}).get("description")
            member["examples"] = values.get(f"#/components/schemas/{kind}.{name}")
            if None in member.values():
                lack = "example" if member["description"] else "description"
                raise click.ClickException(f"openapi.yaml: {kind}.{name} has no {lack}.")
        written |= schema
    plain = json.loads(json.dumps(document))  # plain dicts, and no YAML aliases
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)


class _Dumper(yaml.SafeDumper):
    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> Any:
        """Write a multi-line string as a block."""
        return super().represent_scalar(tag, value, "|" if "\n" in str(value) else style)
