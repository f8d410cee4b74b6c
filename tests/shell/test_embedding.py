"""docs/embedding.md: each way to run the service beside another application, as it stands."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from samples import JOB, TOKEN, Patch, Plant, url
from serving import PATH, ROOT, free_port, is_taken, serving

PAGE = (ROOT / "docs" / "embedding.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMES = re.findall("`([a-z]+)`", PAGE.partition("has no modules ")[2].partition(" of its own")[0])
CHECKOUT = "/srv/bulk-action-jobs"
MODULES = ("mpm_event", "authz_core", "filter", "deflate", "proxy", "proxy_http")
LOAD = "LoadModule {0}_module /usr/lib/apache2/modules/mod_{0}.so\n"
NGINX = """daemon off; master_process off; pid pid; error_log stderr; events {} http {
access_log off; gzip on; gzip_types application/json; client_body_temp_path t; proxy_temp_path t;
fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t; server { listen %d; %s } }"""
APACHE = f"""{"".join(map(LOAD.format, MODULES))}PidFile ${{PWD}}/pid
DefaultRuntimeDir ${{PWD}}
ErrorLog /dev/stderr
ServerName localhost
Listen %d
AddOutputFilterByType DEFLATE application/json
%s"""
PROXIES = (  # how it starts, a word of its block on the page, and what is around that
    ("nginx -e stderr -p . -c conf.py", "proxy_pass", NGINX),
    ("apache2 -X -f $PWD/conf.py", "ProxyPass", APACHE),
    ("flask --app conf.py run", "ProxyMiddleware", "# listens on %d\n%s"),
)
HERE = [proxy for proxy in PROXIES if shutil.which(proxy[0].split()[0], path=PATH)]
SENT = (f"Authorization: Bearer {TOKEN}", "X-Forwarded-Prefix: /a", "X-Forwarded-Host: a.example")


def example(word: str) -> str:
    """Return the page's block in which a word stands."""
    (found,) = (block for block in BLOCKS if word in block)
    return str(found)


def curl(address: str, *headers: str) -> tuple[str, str]:
    """Return the head and the body that an address and its redirects lead to."""
    options = [f"-H{header}" for header in (*SENT, *headers)]
    command = ["curl", "-sSL", "--compressed", "--max-time", "10", "-D", "-", *options, address]
    output = subprocess.check_output(command, text=True)
    *_, head, body = re.split(r"^(HTTP.*\n(?:.+\n)+)\n", output, flags=re.MULTILINE)
    return head, body


def assert_all_is_under_its_path(site: str) -> None:
    job = f"{site}/shield{url()}"
    head, body = curl(job)
    assert json.loads(body) == JOB
    (etag,) = re.findall("(?im)^etag: (.*)$", head)
    assert " 304 " in curl(job, f"If-None-Match: {etag}")[0]
    problem = json.loads(curl(f"{site}/shield{url('no-job')}")[1])
    assert (problem["status"], problem["instance"]) == (404, f"/shield{url('no-job')}")
    assert "swagger-ui" in curl(f"{site}/shield/")[1]
    for headers, server in (((), "/shield"), (("Origin: http://b.example",), f"{site}/shield")):
        contract = yaml.safe_load(curl(f"{site}/shield/openapi.yaml", *headers)[1])
        assert contract["servers"] == [{"url": server}]


@pytest.mark.parametrize(("start", "word", "around"), HERE)
def test_a_web_server_or_a_flask_application_is_the_proxy(
    tmp_path: Path, database: Path, plant: Plant, start: str, word: str, around: str
) -> None:
    plant()
    port = free_port()
    service = ("bash", "-ec", example("granian"))
    with serving(*service, settings={"FLASK_DATABASE": database}) as behind:
        block = example(word).replace("8000", str(behind.port))
        (tmp_path / "conf.py").write_text(around % (port, block))
        with serving("bash", "-ec", start, port=port, cwd=tmp_path):
            assert_all_is_under_its_path(f"http://127.0.0.1:{port}")


def test_a_fixture_serves_a_clients_tests(tmp_path: Path, copy: Path, monkeypatch: Patch) -> None:
    fixture = example("pytest.fixture").replace(CHECKOUT, str(copy))
    (tmp_path / "conftest.py").write_text(fixture)
    show = "\n    print('served', shield.url)\n"
    (tmp_path / "test_client.py").write_text(example("def test_") + show)
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


def test_in_process_it_is_mounted_under_a_path(copy: Path, database: Path, plant: Plant) -> None:
    assert {*NAMES} == {path.stem for path in ROOT.glob("*.py")} | {"demo", "web"}
    install, _, start = example("PYTHONPATH").replace(CHECKOUT, str(copy)).partition("\n")
    assert Path(install.split()[-1]).is_file()
    host = database.with_name("dashboard.py")
    run = partial(serving, "bash", "-ec", start, cwd=host.parent)
    host.write_text(example("DispatcherMiddleware").replace('{"DATABASE": "jobs.db"}', ""))
    with run() as server:
        assert "serving the demo" in server.output()
    assert (copy / "instance" / "demo.db").exists()
    host.write_text(example("DispatcherMiddleware"))
    plant()
    with run() as server:
        assert_all_is_under_its_path(f"http://127.0.0.1:{server.port}")
