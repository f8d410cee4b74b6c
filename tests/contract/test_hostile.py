"""What no client would send, in every part of a request: no answer leaves the contract."""

import logging
import re
from collections.abc import Iterator

import pytest
from checking import CheckedClient
from conftest import EXAMPLES, JOB, JOB_ID, TOKEN, line, url
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

import store
from app import create_app

# A server passes any bytes on, as Latin-1 (PEP 3333); pieces of what is right are nearly right.
BYTES = st.text(st.characters(max_codepoint=255), max_size=40)
PIECES = [" ", "\t", "\r\n", "\0", "\xff", "\xc3\xa4", "x" * 128, TOKEN, TOKEN[:-1], "%2f"]
PIECES += ["Bearer", "bearer ", "Basic ", "W/", *'",=/%?#*', "//", "/..", "/.", "urn:uuid:"]
PIECES += [JOB_ID, JOB_ID.upper(), url(), url(""), "/docs", "/docs/", "/openapi.yaml", "/healthz"]
ANY = BYTES | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
METHOD = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "TRACE", "get", "GET "]) | BYTES
BEARER = f"Bearer {TOKEN}"
AUTHORIZATION = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["Bearer", "bearer", "Basic", "Digest", ""]),
    st.sampled_from([" ", "  ", "\t", ""]),
    st.sampled_from([TOKEN, TOKEN[:-1], "", "\xff", "a=b"]),
    st.sampled_from(["", " ", "\t", "\0", "\xa0", ", x"]),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("hostile")
    store.create(folder / "jobs.db", [JOB])
    folder.joinpath("tokens").write_text(line(TOKEN))
    app = create_app({"DATABASE": folder / "jobs.db", "TOKENS_FILE": folder / "tokens"})
    app.test_client_class = CheckedClient
    yield app
    app.extensions["bulk_action_jobs"].close()


@pytest.fixture(scope="module")
def messages() -> Iterator[list[str]]:
    """Return what is logged, from INFO on."""
    kept: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: kept.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("bulk_action_jobs")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield kept
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def ask(service: Flask, **environ: str) -> TestResponse:
    parts = {"REQUEST_METHOD": "GET", "PATH_INFO": url(), "HTTP_AUTHORIZATION": BEARER, **environ}
    with service.test_client() as client:
        return client.open("/", method=parts["REQUEST_METHOD"], environ_overrides=parts)


lenient = settings(  # the machine may be busy
    max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)
# Whatever is not there is right.
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "REQUEST_METHOD": METHOD,
        "PATH_INFO": ANY,
        "QUERY_STRING": ANY,
        "HTTP_AUTHORIZATION": ANY | AUTHORIZATION,
        "HTTP_X_REQUEST_ID": ANY,
        "HTTP_IF_NONE_MATCH": ANY,
        "HTTP_HOST": ANY,
    },
)


@lenient
@example({})
@example({"HTTP_IF_NONE_MATCH": "*"})
@example({"HTTP_AUTHORIZATION": "Basic \xff"})
@example({"PATH_INFO": ":"})  # as `flask run` passes on the target of GET :
@given(PARTS)
def test_any_request_is_answered_as_the_contract_says(
    service: Flask, messages: list[str], parts: dict[str, str]
) -> None:
    messages.clear()
    response = ask(service, **parts)
    assert response.status_code in {200, 302, 304, 401, 404, 405}
    assert re.fullmatch("[A-Za-z0-9._-]{1,128}", response.headers["X-Request-Id"])
    if parts.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD"):
        assert response.status_code in {404, 405}
    if '"job_id": "' in response.text:
        assert TOKEN in parts.get("HTTP_AUTHORIZATION", TOKEN)
    (message,) = messages
    assert re.fullmatch("[!-~]+ (-|tester) [!-~]* [!-~]* [0-9]{3} [0-9]+", message)
    response.close()


@lenient
@example(BEARER)
@example(f"bEARER   {TOKEN}\t")
@example(f"Bearer\t{TOKEN}")
@given(ANY | AUTHORIZATION)
def test_no_one_comes_in_without_the_token(service: Flask, authorization: str) -> None:
    status = ask(service, HTTP_AUTHORIZATION=authorization).status_code
    scheme, _, token = authorization.partition(" ")
    is_right = scheme.lower() == "bearer" and token.strip(" \t") == TOKEN
    assert status == (200 if is_right else 401)


@lenient
@given(ANY.filter(lambda text: "/" not in text and text))
def test_only_a_known_id_names_a_job(service: Flask, job_id: str) -> None:
    response = ask(service, PATH_INFO=url(job_id))
    assert response.status_code == (200 if job_id.lower() == JOB_ID else 404)


@lenient
@given(st.lists(st.sampled_from(["{}", "W/{}", '"a"', 'W/"a,b"', '""', '"{}"']), min_size=1))
def test_a_list_of_etags_is_met_by_any_of_them(service: Flask, tags: list[str]) -> None:
    etag = ask(service).headers["ETag"]
    condition = ", ".join(tags).replace("{}", etag)
    status = ask(service, HTTP_IF_NONE_MATCH=condition).status_code
    assert status == (304 if {"{}", "W/{}"} & set(tags) else 200)
