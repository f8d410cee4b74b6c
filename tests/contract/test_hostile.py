"""What no client would send, in every part of a request: no answer leaves the contract."""

import logging
import re

import pytest
from checking import LENIENT
from conftest import JOB_ID, TOKEN, Plant, url
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

# A server passes any bytes on, as Latin-1 (PEP 3333); pieces of what is right are nearly right.
BYTES = st.text(st.characters(max_codepoint=255), max_size=40)
PIECES = [" ", "\t", "\r\n", "\0", "\xff", "\xc3\xa4", "x" * 128, TOKEN, TOKEN[:-1], "%2f"]
PIECES += ["Bearer", "bearer ", "Basic ", "W/", *'",=/%?#*', "//", "/..", "/.", "urn:uuid:"]
PIECES += [JOB_ID, JOB_ID.upper(), url(), url(""), "/docs", "/docs/", "/openapi.yaml", "/healthz"]
ANY = BYTES | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
METHOD = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "TRACE", "get", "GET "]) | BYTES
BEARER = f"Bearer {TOKEN}"
AUTHORIZATION = ANY | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["Bearer", "bearer", "Basic", "Digest", ""]),
    st.sampled_from([" ", "  ", "\t", ""]),
    st.sampled_from([TOKEN, TOKEN[:-1], "", "\xff", "a=b"]),
    st.sampled_from(["", " ", "\t", "\0", "\xa0", ", x"]),
)
HEADERS = {f"HTTP_{name}": ANY for name in ("X_REQUEST_ID", "IF_NONE_MATCH", "HOST")}
PARTS = {"REQUEST_METHOD": METHOD, "PATH_INFO": ANY, "QUERY_STRING": ANY} | HEADERS
PARTS |= {"HTTP_AUTHORIZATION": AUTHORIZATION}


@pytest.fixture(autouse=True)
def job(plant: Plant) -> None:
    plant()


def ask(client: FlaskClient, **environ: str) -> TestResponse:
    parts = {"REQUEST_METHOD": "GET", "PATH_INFO": url(), "HTTP_AUTHORIZATION": BEARER, **environ}
    return client.open("/", method=parts["REQUEST_METHOD"], environ_overrides=parts)


@LENIENT
@example({})
@example({"HTTP_IF_NONE_MATCH": "*"})
@example({"HTTP_AUTHORIZATION": "Basic \xff"})
@example({"PATH_INFO": ":"})  # as `flask run` passes on the target of GET :
@given(st.fixed_dictionaries({}, optional=PARTS))  # whatever is not there is right
def test_any_request_is_answered_as_the_contract_says(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, parts: dict[str, str]
) -> None:
    caplog.set_level(logging.INFO, "bulk_action_jobs")
    caplog.clear()
    response = ask(client, **parts)
    response.close()
    assert response.status_code in {200, 302, 304, 401, 404, 405}
    assert re.fullmatch("[A-Za-z0-9._-]{1,128}", response.headers["X-Request-Id"])
    if parts.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD"):
        assert response.status_code in {404, 405}
    if '"job_id": "' in response.text:
        assert TOKEN in parts.get("HTTP_AUTHORIZATION", TOKEN)
    (message,) = caplog.messages
    assert re.fullmatch("[!-~]+ (-|tester) [!-~]* [!-~]* [0-9]{3} [0-9]+", message)


@LENIENT
@example(BEARER)
@example(f"bEARER   {TOKEN}\t")
@example(f"Bearer\t{TOKEN}")
@example(f"Bearer {TOKEN}\xa0")
@given(AUTHORIZATION)
def test_no_one_comes_in_without_the_token(client: FlaskClient, authorization: str) -> None:
    status = ask(client, HTTP_AUTHORIZATION=authorization).status_code
    scheme, _, token = authorization.partition(" ")
    is_right = scheme.lower() == "bearer" and token.strip(" \t") == TOKEN
    assert status == (200 if is_right else 401)


@LENIENT
@given(ANY.filter(lambda text: "/" not in text and text))
def test_only_a_known_id_names_a_job(client: FlaskClient, job_id: str) -> None:
    status = ask(client, PATH_INFO=url(job_id)).status_code
    assert status == (200 if job_id.lower() == JOB_ID else 404)
