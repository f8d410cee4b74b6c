"""Which pages of other origins may read what (CORS, as the Fetch standard defines it)."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from samples import TOKEN, MakeApp, Patch, Plant, url

from errors import SettingError

FRONT_END = "http://localhost:3000"
EXPOSED = {"Access-Control-Expose-Headers": "ETag, Retry-After, WWW-Authenticate, X-Request-Id"}
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Private-Network": "true",
}
ANY_HEADERS = "authorization, baggage, content-type, x-anything"
SAME = (
    *(FRONT_END, "http://[::1]:3000", "http://my_app:3000", "http://192.0.2.7"),
    *("chrome-extension://abcdefghijklmnop", "https://xn--bcher-kva.example:8443"),
)
ORIGINS = dict(zip(SAME, SAME, strict=True)) | {  # as they are set, and as browsers send them
    "https://shop.example:443": "https://shop.example",
    "http://shop.example:80": "http://shop.example",
    "HTTP://A.B-C.Example:443": "http://a.b-c.example:443",
}
OTHER_ORIGINS = (
    *("http://localhost", f"{FRONT_END}0", f"{FRONT_END}\n", f"x{FRONT_END}", "null", ""),
    *("https://shieldxexample", "https://shield.example:8443", "http://shield.example"),
    "https://shield.example.evil.example",
)
NO_ORIGINS = (
    *("http://localhost:3000/", "localhost", "localhost:3000", "http://*.example", "null"),
    *("http://user@a.example", "http://a.example:", "http://", "5", "https://bücher.example"),
)


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
@pytest.mark.parametrize("asked", [{}, {"Access-Control-Request-Headers": ANY_HEADERS}])
def test_a_preflight_needs_no_token_and_passes_with_any_header(
    client: FlaskClient, path: str, asked: dict[str, str]
) -> None:
    answer = client.options(path, headers=PREFLIGHT | asked | {"Origin": FRONT_END})
    assert (answer.status_code, answer.data) == (204, b"")
    headers = {name: value for name, value in answer.headers if name.startswith(("Access", "All"))}
    assert headers.pop("Access-Control-Allow-Headers", None) == (ANY_HEADERS if asked else None)
    assert headers == EXPOSED | {
        "Access-Control-Allow-Origin": FRONT_END,
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
def test_any_other_origin_is_kept_out_and_told_apart_by_caches(
    client: FlaskClient, plant: Plant, origin: str
) -> None:
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
    assert client.options(url(), headers={"Origin": FRONT_END}).status_code == 405


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_what_is_no_origin_is_refused_by_name(
    make_app: MakeApp, database: Path, monkeypatch: Patch, origin: str
) -> None:
    monkeypatch.setenv("FLASK_CORS_ORIGINS", f"{FRONT_END} {origin}")
    with pytest.raises(SettingError, match=r"^FLASK_CORS_ORIGINS: ") as error:
        make_app(DATABASE=database)
    assert repr(origin) in str(error.value)


@pytest.mark.parametrize("setting", [True, False, {"http://a.example": 1}, [5], [None], [b"*"]])
def test_a_setting_that_holds_no_origins_is_refused_in_a_sentence(
    make_app: MakeApp, database: Path, setting: object
) -> None:
    with pytest.raises(SettingError, match=r"^FLASK_CORS_ORIGINS.*: (set it|write)") as error:
        make_app(DATABASE=database, CORS_ORIGINS=setting)
    assert repr(setting[0] if isinstance(setting, list) else setting) in str(error.value)
