"""Which pages of other origins may read what (CORS, as the Fetch standard defines it)."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from samples import TOKEN, MakeApp, Plant, url

from errors import InputError

FRONT_END = "http://localhost:3000"
EXPOSED = {"Access-Control-Expose-Headers": "ETag, Retry-After, WWW-Authenticate, X-Request-Id"}
ANY_HEADERS = "authorization, baggage, content-type, x-anything"
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": ANY_HEADERS,
    "Access-Control-Request-Private-Network": "true",
}
ORIGINS = {  # as they are set, and as browsers send them
    "chrome-extension://[::1]:30000": "chrome-extension://[::1]:30000",
    "https://my_app:80": "https://my_app:80",
    "https://shop.example:443": "https://shop.example",
    "http://shop.example:80": "http://shop.example",
    "HTTP://A.B-C.Example:443": "http://a.b-c.example:443",
}
OTHER_ORIGINS = (f"{FRONT_END}0", f"{FRONT_END}\n", f"x{FRONT_END}", "https://shieldxexample")
NO_ORIGINS = ("http://a/", "a:80", "http://*.a", "http://a:", "http://", "http://ü", 5, b"*")
NOT_A_LIST = (True, False, {"http://a.example": 1})


@pytest.fixture
def client(make_app: MakeApp, database: Path, request: pytest.FixtureRequest) -> FlaskClient:
    origins = getattr(request, "param", f"https://Shield.Example, {FRONT_END}")
    app = make_app(DATABASE=database, CORS_ORIGINS=origins)
    return FlaskClient(app)  # the contract has no headers of CORS


def cors(client: FlaskClient, origin: str, path: str = url(), token: str = "") -> dict[str, str]:
    """Return the headers of an answer, mostly a 401, that concern other origins."""
    environ = {"HTTP_ORIGIN": origin, "HTTP_AUTHORIZATION": f"Bearer {token}"}
    headers = dict(client.get(path, environ_overrides=environ).headers)
    names = [name for name in headers if name.startswith(("Access-Control-", "Vary"))]
    return {name: ", ".join(sorted(headers[name].split(", "))) for name in names}


@pytest.mark.parametrize("path", [url(), "/openapi.yaml"])
def test_a_preflight_passes_with_any_header_and_no_token(client: FlaskClient, path: str) -> None:
    answer = client.options(path, headers=PREFLIGHT | {"Origin": FRONT_END})
    assert (answer.status_code, answer.data) == (204, b"")
    headers = {name: value for name, value in answer.headers if name.startswith(("Access", "All"))}
    assert headers == EXPOSED | {
        "Access-Control-Allow-Origin": FRONT_END,
        "Access-Control-Allow-Headers": ANY_HEADERS,
        "Access-Control-Allow-Methods": "GET, HEAD",
        "Access-Control-Allow-Private-Network": "false",
        "Access-Control-Max-Age": "600",
        "Allow": "GET, HEAD, OPTIONS",
    }


@pytest.mark.parametrize("client", [" ".join(ORIGINS), [*ORIGINS], (*ORIGINS,)], indirect=True)
def test_each_origin_that_is_set_is_let_in_as_browsers_write_it(client: FlaskClient) -> None:
    for sent in ORIGINS.values():
        expected = EXPOSED | {"Access-Control-Allow-Origin": sent, "Vary": "Origin"}
        assert cors(client, sent) == cors(client, sent, "/openapi.yaml") == expected


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_any_other_origin_is_kept_out(client: FlaskClient, plant: Plant, origin: str) -> None:
    plant()
    assert cors(client, origin) == cors(client, origin, "/openapi.yaml") == {"Vary": "Origin"}
    assert cors(client, origin, token=TOKEN) == {"Vary": "Authorization, Origin"}
    answer = client.options(url(), headers=PREFLIGHT, environ_overrides={"HTTP_ORIGIN": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/docs", f"{url()}/more", "/nothing"])
def test_no_other_path_is_opened(client: FlaskClient, path: str) -> None:
    assert "Access-Control-Allow-Origin" not in cors(client, FRONT_END, path)
    assert client.options(path, headers=PREFLIGHT | {"Origin": FRONT_END}).status_code >= 400


@pytest.mark.parametrize("client", ["*", ["*"]], indirect=True)
def test_an_asterisk_lets_every_origin_in(client: FlaskClient) -> None:
    for origin in ("null", FRONT_END):
        assert cors(client, origin) == EXPOSED | {"Access-Control-Allow-Origin": "*"}


@pytest.mark.parametrize("client", [None, "", []], indirect=True)
def test_no_origin_is_let_in_unless_one_is_set(client: FlaskClient) -> None:
    assert cors(client, FRONT_END) == {}
    assert cors(client, FRONT_END, "/openapi.yaml") == {"Vary": "Origin"}  # of its address
    assert client.options(url(), headers={"Origin": FRONT_END}).status_code == 405


@pytest.mark.parametrize("setting", [*NO_ORIGINS, *NOT_A_LIST])
def test_a_wrong_origin_is_refused(make_app: MakeApp, database: Path, setting: object) -> None:
    given = setting if setting in NOT_A_LIST else [FRONT_END, setting]
    with pytest.raises(InputError, match=r"^FLASK_CORS_ORIGINS.*: (set it|write)") as error:
        make_app(DATABASE=database, CORS_ORIGINS=given)
    assert repr(setting) in str(error.value)
