import hashlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, Fault
from flask import Flask
from flask.testing import FlaskClient
from serving import ROOT
from stage import stage, ticks  # noqa: F401 (fixtures)
from werkzeug.test import TestResponse

import demo
import store
from app import create_app
from schemas import JobSchema

JOB_ID = "0e4f0a6c-6d1f-4b7a-9a54-1c5b8a6d2f30"
JOB = demo.jobs(datetime(2026, 5, 16, 12, tzinfo=UTC))[0] | {  # completed; rare but valid values
    "job_id": JOB_ID,
    "criteria_json": '{"relay": "10.20.0.1"}',
    "action_reason": "Überflutung am Relay",
    "executed_at": "2026-05-16T10:00:02.184467441+02:00",
    "created_at": "2026-05-16t07:58:12z",
}
OPTIONAL = {name for name, field in JobSchema().fields.items() if not field.required}
TOKEN = "a-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

# tests/contract and the check of each answer need requirements-dev.txt, tests/shell these programs.
# Where CI is set, what is missing is a failure.
DEV = find_spec("jsonschema_rs") is not None
CLIENT = import_module("checking").CheckedClient if DEV else FlaskClient
NEEDS = {
    "contract": DEV,
    "shell": all(map(shutil.which, ("make", "curl", "sqlite3", "sha256sum"))),
}
collect_ignore = ["browser", "container", "tools", "torture"]  # run when they are asked for
collect_ignore += [] if "CI" in os.environ else [name for name, met in NEEDS.items() if not met]

Plant = Callable[..., None]
Get = Callable[..., TestResponse]


def url(job_id: str = JOB_ID) -> str:
    return f"/api/actions/bulk/jobs/{job_id}"


def line(token: str, name: str = "tester", expires: str = "") -> str:
    return f"{hashlib.sha256(token.encode()).hexdigest()} {name} {expires}\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=int, default=60, help="how long each torture takes")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in [name for name in os.environ if name.startswith("FLASK_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store.create(path := tmp_path_factory.mktemp("new") / "jobs.db")
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, new_database: bytes) -> Path:
    path = tmp_path / "jobs.db"
    path.write_bytes(new_database)
    return path


@pytest.fixture
def plant(database: Path) -> Plant:
    """Write JOB with other members; `lawful=False` skips the CHECKs, `path` is another file."""

    def plant(*, lawful: bool = True, path: Path = database, **members: Any) -> None:
        row = JOB | members
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")  # saves most of the time
            connection.execute(f"PRAGMA ignore_check_constraints = {not lawful:d}")
            marks = ", ".join("?" * len(row))
            insert = f"INSERT OR REPLACE INTO bulk_action_jobs ({', '.join(row)}) VALUES ({marks})"  # noqa: S608 (names)
            connection.execute(insert, list(row.values()))

    return plant


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(line(TOKEN))
    return path


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    apps = []

    def make_app(**config: object) -> Flask:
        app = create_app(config)
        app.test_client_class = CLIENT
        apps.append(app)
        return app

    yield make_app
    for app in apps:
        app.extensions["bulk_action_jobs"].close()


@pytest.fixture
def app(make_app: Callable[..., Flask], database: Path, tokens_file: Path) -> Flask:
    return make_app(DATABASE=database, TOKENS_FILE=tokens_file)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def get(client: FlaskClient) -> Get:
    """Ask for a job with the tests' token; `headers` and `method` as given."""

    def get(
        job_id: str = JOB_ID, *, method: str = "GET", headers: Mapping[str, str] = {}
    ) -> TestResponse:
        return client.open(url(job_id), method=method, headers=BEARER | {**headers})

    return get


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> Fault:
    return FAULTS[request.param]


@pytest.fixture
def make_demo(
    make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Flask]:
    """Make the service of a checkout whose instance folder is elsewhere."""
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda _: str(tmp_path / "instance"))
    return make_app


@pytest.fixture
def demo_client(make_demo: Callable[..., Flask]) -> FlaskClient:
    return make_demo().test_client()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the project in which `make` finds everything installed."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".*", "instance", "__pycache__", "*.db*", "tokens")
    shutil.copytree(ROOT, copy, ignore=ignored)
    (copy / ".venv").mkdir()
    (copy / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    for stamp in ("made", "run"):
        (copy / ".venv" / stamp).touch()
    return copy
