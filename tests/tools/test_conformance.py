"""The contract and the service, held against each other by tools that know neither."""

import re
from datetime import UTC, datetime
from pathlib import Path

from conftest import url
from serving import FLASK_RUN, serving
from toolbox import CONTRACT, run

import demo
import store

ASKED = re.compile(r" (/api/\S+) ([0-9]{3}) [0-9]+$", re.MULTILINE)


def test_the_contract_is_openapi(tmp_path: Path) -> None:
    run("openapi-spec-validator", "--schema", "3.1", CONTRACT, cwd=tmp_path)


def test_schemathesis_finds_no_violation(tmp_path: Path) -> None:
    store.create(path := tmp_path / "jobs.db", demo.jobs(datetime.now(UTC)))
    settings = {"FLASK_DATABASE": path, "FLASK_TOKENS_FILE": demo.TOKENS_FILE}
    with serving(*FLASK_RUN, settings=settings | {"FLASK_REQUEST_LOG": "1"}) as server:
        options = f"--url=http://127.0.0.1:{server.port} --max-examples=100".split()
        for header in ("X-Request-Id: schemathesis", "If-None-Match: *"):
            headers = ("-H", f"Authorization: Bearer {demo.TOKEN}", "-H", header)
            check = ("--exclude-checks", "not_a_server_error")  # the contract has a 500
            run("schemathesis", "run", CONTRACT, *options, *headers, *check, cwd=tmp_path)
        asked = ASKED.findall(server.output())
    assert {status for _, status in asked} == {"200", "304", "401", "404", "405", "500"}
    assert {path for path, status in asked if status == "500"} == {url(demo.job_id(9))}
