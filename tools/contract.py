"""Renews openapi.yaml (`make openapi`): its types are the schemas', its examples the demo's.

Its words are written there. A new example needs a value with the `job_id` or `instance` to ask for.
"""

import json
import logging
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

import demo
from app import create_app
from schemas import ACTION_TYPES, STATUSES, JobSchema, ProblemSchema

CONTRACT = Path(__file__).parent.with_name("openapi.yaml")
NOW = 1778932800  # UNIX seconds: 2026-05-16T12:00:00Z
REQUEST_ID = "0f8fad5bd9cb469fa16570867728950e"
TOKENS = {"noToken": "", "invalidToken": "unknown"}  # of examples that do without the demo's
KNOWN = {"Job.status": STATUSES, "Job.action_type": ACTION_TYPES}


def build(text: str) -> str:
    """Return the document `text` with its types and examples renewed, else end with one line."""
    document = yaml.safe_load(text)
    with tempfile.TemporaryDirectory() as folder:
        first = _renew_examples(document["paths"], Path(folder, "demo.db"))
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Job", schema=JobSchema)
    spec.components.schema("Problem", schema=ProblemSchema)
    for kind, schema in spec.to_dict()["components"]["schemas"].items():
        del schema["additionalProperties"]  # the contract allows more members
        written = document["components"]["schemas"][kind]
        for name, member in schema["properties"].items():
            member["description"] = written["properties"].get(name, {}).get("description")
            member["examples"] = KNOWN.get(f"{kind}.{name}", first.get(f"{kind}.{name}"))
            for key in ("description", "examples"):
                if not member[key]:
                    raise SystemExit(f"openapi.yaml: {kind}.{name} has no {key}")
        written |= schema
    plain = json.loads(json.dumps(document))  # no tuples, and nothing shared, which YAML would name
    new = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=88)
    # YAML's loader drops comments: set the one again that web/browser.py looks for.
    return new.replace("\n      examples:\n", "\n      examples: # demo\n")


def _renew_examples(paths: Any, database: Path) -> dict[str, Any]:
    """Ask for each example. Return the first value of each member, by its name."""
    demo.make(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE clock SET now = ?", [NOW])
    app = create_app({"DATABASE": database, "CORS_ORIGINS": None})
    client = app.test_client()
    client.environ_base["HTTP_X_REQUEST_ID"] = REQUEST_ID
    first: dict[str, Any] = {}
    responses = [(path, r) for path in paths for r in paths[path]["get"]["responses"].values()]
    for path, response in responses:
        for content in response.get("content", {}).values():
            kind = content["schema"]["$ref"].rpartition("/")[2]
            for name, example in content["examples"].items():
                if name == "missingFile":
                    database.unlink()
                old = example["value"]
                asked = old.get("instance") or path.replace("{id}", old.get("job_id", ""))
                token = TOKENS.get(name, demo.TOKEN)
                answer = client.get(asked, headers={"Authorization": f"Bearer {token}"})
                example["value"] = answer.get_json(force=True)
                for member, value in example["value"].items():
                    first.setdefault(f"{kind}.{member}", [value])
    app.extensions["bulk_action_jobs"].close()
    return first


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Write lines as they are, and a long text as a folded block: quoted, it would be wrapped."""
    folds = len(text) > 55 and " " in text
    style = "|" if "\n" in text else ">" if folds else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)

if __name__ == "__main__":
    logging.disable()  # two examples are of failures
    renewed = build(CONTRACT.read_text("utf-8"))
    file = CONTRACT.with_suffix(".new")
    file.write_text(renewed, "utf-8")
    file.replace(CONTRACT)
