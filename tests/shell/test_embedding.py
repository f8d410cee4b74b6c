"""docs/embedding.md: each way to run the service beside another application, as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from samples import JOB, TOKEN, Patch, Plant, url
from serving import ROOT, free_port, is_taken, serving

PAGE = (ROOT / "docs" / "embedding.md").read_text("utf-8")
MODULES = ("mpm_event", "authz_core", "filter", "deflate", "proxy", "proxy_http")
LOAD = "LoadModule {0}_module /usr/lib/apache2/modules/mod_{0}.so\n"
NGINX = """daemon off; master_process off; pid pid; error_log stderr; events {} http {
access_log off; gzip on; gzip_types application/json; client_body_temp_path t; proxy_temp_path t;
fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t; server { listen %d; %s } }"""
APACHE = f"""{"".join(map(LOAD.format, MODULES))}PidFile ${{HERE}}/pid
DefaultRuntimeDir ${{HERE}}
ErrorLog /dev/stderr
ServerName localhost
Listen %d
AddOutputFilterByType DEFLATE application/json
%s"""
PROXIES = {  # how it starts, the kind of its block on the page, a word in it, what is around it
    "nginx": ("nginx -e stderr -p {}/ -c conf.py", "nginx", "proxy_pass", NGINX),
    "apache2": ("apache2 -X -f {}/conf.py", "apache", "ProxyPass", APACHE),
    "flask": ("flask --app conf.py run", "python", "ProxyMiddleware", "# listens on %d\n%s"),
}
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
HERE = [name for name in PROXIES if shutil.which(name, path=PATH)]
CHECKOUT = "/srv/bulk-action-jobs"
NAMES = re.findall("`([a-z]+)`", PAGE.partition("has no modules ")[2].partition(" of its own")[0])


def example(kind: str, word: str = "") -> str:
    """Return the page's block of a kind in which a word stands."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if word in block)
    return str(found)


def curl(address: str, *options: str) -> str:
    command = ["curl", "-sS", "--compressed", "--max-time", "10", *options, address]
    return subprocess.check_output(command, text=True)


def assert_all_is_under_its_path(site: str) -> None:
    sent = ("-H", f"Authorization: Bearer {TOKEN}", "-H", "X-Forwarded-Prefix: /other")
    head, _, body = curl(f"{site}/shield{url()}", "-i", *sent).partition("\n\n")
    assert json.loads(body) == JOB
    (etag,) = re.findall("(?im)^etag: (.*)$", head)
    status = ("-o", os.devnull, "-w", "%{http_code} %{redirect_url}")
    condition = ("-H", f"If-None-Match: {etag}")
    assert curl(f"{site}/shield{url()}", *sent, *condition, *status) == "304 "
    problem = json.loads(curl(f"{site}/shield{url('no-job')}", *sent))
    assert (problem["status"], problem["instance"]) == (404, f"/shield{url('no-job')}")
    page = f"{site}/shield/docs/"
    other = ("-H", "X-Forwarded-Host: other.example")
    assert curl(f"{site}/shield/", *sent, *other, *status) == f"302 {page}"
    assert "swagger-ui" in curl(page)
    assert yaml.safe_load(curl(f"{site}/shield/openapi.yaml"))["servers"][0]["url"] == "/shield"


@pytest.fixture
def service(database: Path, plant: Plant) -> Iterator[str]:
    """Yield the port of the server that the page starts."""
    plant()
    start = ("bash", "-ec", example("sh", "granian"))
    with serving(*start, settings={"FLASK_DATABASE": database, "PATH": PATH}) as server:
        yield str(server.port)


@pytest.mark.parametrize("name", HERE)
def test_a_web_server_or_a_flask_application_is_the_proxy(
    tmp_path: Path, service: str, name: str
) -> None:
    start, kind, word, around = PROXIES[name]
    port = free_port()
    block = example(kind, word).replace("8000", service)
    (tmp_path / "conf.py").write_text(around % (port, block))
    settings = {"HERE": tmp_path, "PATH": PATH}
    with serving(*start.format(tmp_path).split(), settings=settings, port=port, cwd=tmp_path):
        assert_all_is_under_its_path(f"http://127.0.0.1:{port}")


def test_a_fixture_serves_the_tests_of_a_client_and_ends(
    tmp_path: Path, copy: Path, monkeypatch: Patch
) -> None:
    fixture = example("python", "pytest.fixture").replace(CHECKOUT, str(copy))
    (tmp_path / "conftest.py").write_text(fixture)
    show = "\n    print('served', shield.url)\n"
    (tmp_path / "test_client.py").write_text(example("python", "def test_") + show)
    for name in NAMES:  # which the service must not take for its own
        (tmp_path / f"{name}.py").touch()
    for name in ("RUN_HOST", "RUN_PORT", "DEBUG", "APP", "DATABASE"):
        monkeypatch.setenv(f"FLASK_{name}", "1")  # which would spoil its start
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    command = [sys.executable, "-B", "-m", "pytest", "-s", "-W", "error", "test_client.py"]
    output = subprocess.check_output(command, cwd=tmp_path, text=True, timeout=60)
    (port,) = re.findall(r"served http://127.0.0.1:(\d+)", output)
    assert not is_taken(int(port))
    assert not (copy / "instance").exists()


def test_in_process_it_is_mounted_under_a_path_and_its_demo_is_made_in_the_checkout(
    tmp_path: Path, copy: Path, database: Path, plant: Plant
) -> None:
    install, _, start = example("sh", "PYTHONPATH").replace(CHECKOUT, str(copy)).partition("\n")
    assert Path(install.split()[-1]).is_file()
    host = tmp_path / "host" / "dashboard.py"
    host.parent.mkdir()
    run = partial(serving, "bash", "-ec", start, settings={"PATH": PATH}, cwd=host.parent)
    host.write_text(example("python", "create_app").replace('{"DATABASE": "jobs.db"}', ""))
    with run() as server:
        hint = server.output()
    assert "serving the demo" in hint
    assert f"{server.port}/api" not in hint  # the host has it under another path
    assert {path.name for path in host.parent.iterdir()} <= {host.name, "__pycache__"}
    assert (copy / "instance" / "demo.db").exists()
    host.write_text(example("python", "create_app"))
    plant()
    shutil.copy(database, host.parent)
    with run() as server:
        assert_all_is_under_its_path(f"http://127.0.0.1:{server.port}")
