"""Which pages of other origins may read what (CORS, as the Fetch standard defines it)."""

from collections.abc import Callable

import pytest
from click import ClickException
from conftest import JOB_ID, TOKEN, url
from flask import Flask
from flask.testing import FlaskClient

FRONT_END = "http://localhost:3000"
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization, if-none-match, x-other, x-request-id",
}


@pytest.fixture
def client(
    make_app: Callable[..., Flask], database: str, tokens_file: str, request: pytest.FixtureRequest
) -> FlaskClient:
    origins = getattr(request, "param", f"https://Shield.Example, {FRONT_END} http://[::1]:3000")
    app = make_app(DATABASE=database, TOKENS_FILE=tokens_file, CORS_ORIGINS=origins)
    return FlaskClient(app)  # the contract has no headers of CORS


def granted(client: FlaskClient, origin: str, path: str = url()) -> str | None:
    return client.get(path, headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize("path", [url(), "/openapi.yaml"])
def test_a_preflight_needs_no_token(client: FlaskClient, path: str) -> None:
    answer = client.options(path, headers=PREFLIGHT | {"Origin": FRONT_END})
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == FRONT_END
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    allowed = answer.headers["Access-Control-Allow-Headers"]
    assert allowed == "authorization, if-none-match, x-request-id"


@pytest.mark.parametrize("origin", ["https://shield.example", FRONT_END, "http://[::1]:3000"])
def test_each_origin_that_is_set_is_let_in(client: FlaskClient, origin: str) -> None:
    assert granted(client, origin) == granted(client, origin, "/openapi.yaml") == origin


@pytest.mark.parametrize(
    "origin", ["http://localhost", f"{FRONT_END}0", "https://shieldxexample", "null"]
)
def test_no_other_origin_is(client: FlaskClient, origin: str) -> None:
    assert granted(client, origin) is None
    answer = client.options(url(), headers=PREFLIGHT | {"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/docs", f"{url()}/more"])
def test_no_other_path_is_opened(client: FlaskClient, path: str) -> None:
    assert granted(client, FRONT_END, path) is None
    assert client.options(path, headers=PREFLIGHT | {"Origin": FRONT_END}).status_code >= 400


@pytest.mark.parametrize("client", ["*", ["*"]], indirect=True)
def test_an_asterisk_lets_every_origin_in(client: FlaskClient) -> None:
    assert granted(client, "null") == "*"


@pytest.mark.parametrize("client", [None, ""], indirect=True)
def test_no_origin_is_let_in_unless_one_is_set(client: FlaskClient) -> None:
    assert granted(client, FRONT_END) is None
    assert client.options(url(), headers={"Origin": FRONT_END}).status_code == 405


def test_an_error_can_be_read_too(client: FlaskClient) -> None:
    for job_id, token, status in [(JOB_ID, "no", 401), ("42", TOKEN, 404)]:
        headers = {"Origin": FRONT_END, "Authorization": f"Bearer {token}"}
        answer = client.get(url(job_id), headers=headers)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == FRONT_END
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert exposed == "ETag, Retry-After, WWW-Authenticate, X-Request-Id"


@pytest.mark.parametrize(
    "origins", ["http://localhost:3000/", "localhost", "http://*.example", "5"]
)
def test_what_is_no_origin_refuses_the_start(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, origins: str
) -> None:
    monkeypatch.setenv("FLASK_CORS_ORIGINS", origins)
    with pytest.raises(ClickException, match=r"FLASK_CORS_ORIGINS: '.*' is not http://HOST:PORT"):
        make_app()
