from pathlib import Path

import pytest
from samples import MakeApp, Patch, make

from errors import InputError

ON = ("1", "true", "True", "yes", "YES", "on", "On", True, 1)
OFF = ("0", "false", "FALSE", "no", "No", "off", "OFF", "", False, 0, None)
UNKNOWN = "create_app: 'database' is no setting: there are DATABASE, CORS_ORIGINS, REQUEST_LOG"
REFUSED = (
    ("database", "x", UNKNOWN),
    ("REQUEST_LOG", "1 ", "FLASK_REQUEST_LOG is '1 ': set it to 1 or 0"),
)


@pytest.mark.parametrize("value", [*ON, *OFF])
def test_the_log_of_requests_is_turned_on_and_off_as_people_write_it(
    make_app: MakeApp, database: Path, capsys: pytest.CaptureFixture[str], value: object
) -> None:
    make_app(DATABASE=database, REQUEST_LOG=value).test_client().get("/healthz")
    assert ("/healthz" in capsys.readouterr().out) == (value in ON)


@pytest.mark.parametrize(("name", "value", "line"), REFUSED)
def test_a_wrong_setting_is_refused_in_one_line_that_says_what_is_right(
    make_app: MakeApp, database: Path, name: str, value: object, line: str
) -> None:
    with pytest.raises(InputError) as caught:
        make_app(**{"DATABASE": database, name: value})
    assert str(caught.value) == line


def test_an_empty_path_does_not_serve_the_demo(make_app: MakeApp, monkeypatch: Patch) -> None:
    monkeypatch.setenv("FLASK_DATABASE", "")
    with pytest.raises(InputError, match=r"^FLASK_DATABASE is empty: set it to a path"):
        make_app()


@pytest.mark.parametrize("text", ["jobs", "0.10", "null", "5", "true", '"quoted"', "[]"])
def test_a_path_in_the_environment_is_taken_as_it_stands_for_good(
    make_app: MakeApp, monkeypatch: Patch, tmp_path: Path, text: str
) -> None:
    """Flask reads its variables as JSON, and null would be the demo."""
    make(tmp_path / text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_DATABASE", text)
    client = make_app().test_client()
    monkeypatch.chdir("/")
    assert client.get("/healthz").status_code == 200


def test_the_mapping_overrides_all(make_app: MakeApp, database: Path, monkeypatch: Patch) -> None:
    for name in ("DATABASE", "CORS_ORIGINS", "REQUEST_LOG", "SECRET_KEY"):
        monkeypatch.setenv(f"FLASK_{name}", "5")
    app = make_app(DATABASE=database, CORS_ORIGINS=None, REQUEST_LOG=False, TESTING=True)
    assert app.testing
    cookie = {"Cookie": "session=aaaa.bbbb.cccc"}  # of another service: with a key, Flask reads it
    client = app.test_client(use_cookies=False)  # of its own
    assert client.get("/healthz", headers=cookie).status_code == 200
