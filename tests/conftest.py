import logging
import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, Fault
from flask import Flask
from flask.testing import FlaskClient
from samples import BEARER, JOB, JOB_ID, Get, MakeApp, Plant, make, url, write
from serving import ROOT
from werkzeug.test import TestResponse

from app import create_app

# tests/contract and the check of each answer need requirements/dev.txt, tests/shell these programs.
# Where CI is set, what is missing is a failure.
DEV = find_spec("jsonschema_rs") is not None
NEEDS = {
    "contract": DEV,
    "shell": all(map(shutil.which, ("make", "curl", "sqlite3", "sha256sum"))),
    "shell/test_embedding.py": find_spec("granian") is not None,
}
collect_ignore = ["browser", "container", "tools", "torture"]  # run when they are asked for
collect_ignore += [] if "CI" in os.environ else [name for name, met in NEEDS.items() if not met]


@pytest.fixture(autouse=True)
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the settings of whoever runs the tests out of them, and the demo out of the checkout."""
    for name in [name for name in os.environ if name.startswith("FLASK_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "instance"
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda _: str(folder))
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of a database without a job, and with a token of the client `tester`."""
    return make(tmp_path / "jobs.db")


@pytest.fixture
def plant(database: Path) -> Plant:
    """Write JOB with other members."""
    return lambda **members: write(database, JOB | members)


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    apps = []

    def make_app(**config: Any) -> Flask:
        app = create_app(config)
        app.test_client_class = import_module("checking").CheckedClient if DEV else None
        apps.append(app)
        return app

    yield make_app
    for app in apps:
        app.extensions["bulk_action_jobs"].close()
    log = logging.getLogger("bulk_action_jobs")  # of requests: off again
    log.handlers.clear()
    log.setLevel(logging.NOTSET)


@pytest.fixture
def app(make_app: MakeApp, database: Path) -> Flask:
    return make_app(DATABASE=database)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def demo_client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def get(client: FlaskClient) -> Get:
    """Ask for a job with the tests' token; `headers` and `method` as given."""

    def get(job_id: str = JOB_ID, *, method: str = "GET", headers: Any = ()) -> TestResponse:
        return client.open(url(job_id), method=method, headers=BEARER | dict(headers))

    return get


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> Fault:
    return FAULTS[request.param]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the project in which `make` finds everything installed."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".*", "instance", "__pycache__", "*.db*", "data")
    shutil.copytree(ROOT, copy, ignore=ignored)
    (copy / ".venv").mkdir()
    (copy / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    for stamp in ("made", "run"):
        (copy / ".venv" / stamp).touch()
    return copy
