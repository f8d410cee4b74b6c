"""The document and the service, held against each other by tools that know neither."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from checking import DOCUMENT, CheckedClient
from conftest import JOB, url
from flask import Flask, Response
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

import demo
from app import create_app

AUTHORIZATION = {"Authorization": f"Bearer {demo.TOKEN}"}
EXAMPLE_IDS = [demo.job_id(digit) for digit in range(1, 7)]

# Any valid job

TEXT = st.text(st.characters(codec="utf-8"))
INTEGER = st.integers(-(2**63), 2**63 - 1)
DATE_TIME = st.builds(
    "{:%Y-%m-%d}{}{:%H:%M:%S}{}{}".format,
    st.dates(date(1000, 1, 1)),
    st.sampled_from("Tt"),
    st.times(),
    st.from_regex(r"(\.[0-9]{1,12})?", fullmatch=True, alphabet=".0123456789"),
    st.from_regex(r"[Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True),
)
OPTIONAL = ("executed_at", "completed_at")
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    name: DATE_TIME if name.endswith("_at") else TEXT if isinstance(value, str) else INTEGER
    for name, value in JOB.items()
}
JOBS = st.fixed_dictionaries(
    {name: values for name, values in MEMBERS.items() if name not in OPTIONAL},
    optional={name: MEMBERS[name] for name in OPTIONAL},
)


def write(path: Path, jobs: list[dict[str, Any]]) -> None:
    """Put `jobs` in the place of the jobs that the examples name."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM bulk_action_jobs")
        for job_id, job in zip(EXAMPLE_IDS, jobs, strict=True):
            row = {**job, "job_id": job_id}
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO bulk_action_jobs ({names}) VALUES ({marks})",  # noqa: S608 (columns)
                list(row.values()),
            )


# The service, with the demo's jobs and with others


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.database(str(tmp_path_factory.mktemp("instance")))


@pytest.fixture(scope="module")
def service(database: Path) -> Iterator[Flask]:
    app = create_app({"DATABASE": database, "TOKENS_FILE": demo.TOKENS_FILE})

    @app.after_request
    def note(response: Response) -> Response:
        Service.statuses.add(response.status_code)
        return response

    Service.app = app
    yield app
    app.extensions["bulk_action_jobs"].close()


@pytest.fixture(scope="module")
def met() -> Iterator[dict[str, set[int]]]:
    """Collect the statuses met, by operation: tests may run in several processes."""
    met: dict[str, set[int]] = {}
    yield met
    documented = {200, 304, 401, 404, 405}
    assert met.get("GET /api/actions/bulk/jobs/{id}", documented) == documented


class Service:
    """Stands for the service where pytest collects: there is no database yet."""

    app: Flask
    statuses: set[int]

    def __call__(self, *args: Any) -> Any:
        return self.app.wsgi_app(*args)


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = Service()
SCHEMA.config.update(base_url="http://localhost")
SCHEMA.config.generation.update(max_examples=40)


def test_the_document_is_openapi() -> None:
    validate(DOCUMENT)


@SCHEMA.parametrize()
def test_the_demo_conforms(
    case: schemathesis.Case[Any], service: Flask, met: dict[str, set[int]]
) -> None:
    Service.statuses = met.setdefault(case.operation.label, set())
    case.call_and_validate(headers=AUTHORIZATION)


def draw(count: int) -> list[list[dict[str, Any]]]:
    """Return `count` stores of six jobs."""
    drawn = []

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),  # they time a machine that may be busy
    )
    @given(st.lists(JOBS, min_size=6, max_size=6))
    def take(jobs: list[dict[str, Any]]) -> None:
        drawn.append(jobs)

    take()
    return drawn


def test_any_valid_job_is_served_as_stored(service: Flask, database: Path) -> None:
    Service.statuses = set()
    client = CheckedClient(service, service.response_class)
    for jobs in draw(25):
        write(database, jobs)
        for job_id, job in zip(EXAMPLE_IDS, jobs, strict=True):
            response = client.get(url(job_id), headers=AUTHORIZATION)
            assert response.status_code == 200
            assert response.get_json() == {**job, "job_id": job_id}


@pytest.fixture(scope="module")
def any_jobs(database: Path) -> None:
    write(database, draw(10)[-1])


@SCHEMA.parametrize()
def test_the_service_conforms_with_any_valid_jobs(
    case: schemathesis.Case[Any], service: Flask, any_jobs: None
) -> None:
    Service.statuses = set()
    case.call_and_validate(headers=AUTHORIZATION)
