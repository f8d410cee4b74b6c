from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from problem import assert_problem
from samples import (
    BEARER,
    DIGEST,
    JOB_ID,
    OTHER_ID,
    TOKEN,
    Get,
    Log,
    MakeApp,
    Plant,
    add_token,
    run,
    url,
)

from auth import bearer_auth

INVALID = "The access token is unknown, expired or revoked."
BARE = 'Bearer realm="bulk-action-jobs"'
CHALLENGE = f'{BARE}, error="invalid_token", error_description="{INVALID}"'
NO_BEARER = (None, "Basic \xff", f"Token {TOKEN}", "Bearer", "bearer  ", f"Bearer\t{TOKEN}")
BAD_TOKENS = ("unknown", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), DIGEST, "tester", f"{TOKEN}\xa0")


@pytest.mark.parametrize("text", NO_BEARER)
def test_without_a_bearer_token_the_challenge_is_bare_whatever_the_id(
    client: FlaskClient, plant: Plant, database: Path, text: str | None
) -> None:
    plant()
    add_token(database, "", "empty")
    environ = {} if text is None else {"HTTP_AUTHORIZATION": text}
    for job_id in (JOB_ID, OTHER_ID, "x"):
        response = client.get(url(job_id), environ_overrides=environ)
        assert_problem(response, 401, "Authentication is required: send a bearer token.")
        assert response.headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_token_that_the_database_lacks_is_told_to_be_invalid(get: Get, token: str) -> None:
    response = get(headers={"Authorization": f"Bearer {token}"})
    assert_problem(response, 401, INVALID)
    assert response.headers["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize("text", [f"bEARER   {TOKEN}", f"Bearer {TOKEN}\t "])
def test_a_scheme_in_any_case_and_blanks_around_a_token_are_taken(get: Get, text: str) -> None:
    assert get(headers={"Authorization": text}).status_code == 404


def test_an_expiry_counts_with_the_next_request(get: Get, database: Path) -> None:
    expire = "UPDATE tokens SET expires_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?)"
    for shift, status in (("-2 seconds", 401), ("+1 minute", 404), ("-1 year", 401)):
        run(database, expire, shift)
        assert get().status_code == status


def test_a_start_without_a_token_says_so(make_app: MakeApp, database: Path, caplog: Log) -> None:
    run(database, "DELETE FROM tokens")
    client = make_app(DATABASE=database).test_client()
    assert caplog.messages == [f"{database} has no token: flask tokens create NAME makes one"]
    assert client.get(url(), headers=BEARER).status_code == 401
    add_token(database, TOKEN)
    assert client.get(url(), headers=BEARER).status_code == 404


def test_a_route_without_an_id_may_ask_for_a_token(app: Flask, client: FlaskClient) -> None:
    view = bearer_auth(app.extensions["bulk_action_jobs"])(lambda: "yours")
    app.add_url_rule("/mine", "mine", view)
    assert [client.get("/mine", headers=sent).status_code for sent in ({}, BEARER)] == [401, 200]
