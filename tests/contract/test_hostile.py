"""What no client would send, in every part of a request: no answer leaves the contract."""

import logging
import re

from checking import LENIENT
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from samples import JOB_ID, TOKEN, Log, Plant, url

# A server passes any bytes on, as Latin-1 (PEP 3333); pieces of what is right are nearly right.
BYTES = st.text(st.characters(max_codepoint=255), max_size=40)
PIECES = [" ", "\t", "\r\n", "\0", "\xff", "\xc3\xa4", "x" * 128, TOKEN, TOKEN[:-1], "%2f"]
PIECES += ["Bearer", "bearer ", "Basic ", "W/", *'",=/%?#*', "//", "/..", "/.", "urn:uuid:"]
PIECES += [JOB_ID, JOB_ID.upper(), url(), url(""), "/docs", "/docs/", "/openapi.yaml", "/healthz"]
ANY = BYTES | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
READS = ("GET", "HEAD")
OTHER = BYTES.filter(lambda method: method.upper() not in READS)
PARTS = {f"HTTP_{name}": ANY for name in ("X_REQUEST_ID", "IF_NONE_MATCH", "HOST")} | {
    "REQUEST_METHOD": st.sampled_from([*READS, "POST", "OPTIONS", "TRACE", "GET "]) | OTHER,
    "PATH_INFO": ANY,
    "QUERY_STRING": ANY,
    "HTTP_AUTHORIZATION": ANY | ANY.map("Bearer {}".format) | ANY.map(f"Bearer {TOKEN}{{}}".format),
}
RIGHT = {"REQUEST_METHOD": "GET", "PATH_INFO": url(), "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}


@LENIENT
@example({})
@example({"HTTP_IF_NONE_MATCH": "*"})
@example({"HTTP_AUTHORIZATION": "Basic \xff"})
@example({"PATH_INFO": "/docs/"})  # a file
@example({"PATH_INFO": ":"})  # as `flask run` passes on the target of GET :
@given(st.fixed_dictionaries({}, optional=PARTS))  # whatever is not there is right
def test_any_request_is_answered_as_the_contract_says(
    client: FlaskClient, plant: Plant, caplog: Log, parts: dict[str, str]
) -> None:
    plant()
    caplog.set_level(logging.INFO, "bulk_action_jobs")
    caplog.clear()
    environ = RIGHT | parts
    method = environ["REQUEST_METHOD"]
    with client.open("/", method=method, environ_overrides=environ) as response:
        status, body = response.status_code, response.get_data(as_text=True)
    assert status in ({200, 302, 304, 401, 404} if method in READS else {404, 405})
    assert re.fullmatch("[A-Za-z0-9._-]{1,128}", response.headers["X-Request-Id"])
    assert TOKEN in environ["HTTP_AUTHORIZATION"] or '"job_id": "' not in body
    (message,) = caplog.messages
    assert re.fullmatch("[!-~]+ (-|tester) [!-~]* [!-~]* [0-9]{3} [0-9]+", message)
