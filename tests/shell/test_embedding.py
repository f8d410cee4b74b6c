"""What the README shows beside other applications, run as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import DEV, JOB, JOB_ID, TOKEN, Plant, url
from serving import FLASK, FLASK_RUN, README, RECOMMENDED, ROOT, free_port, is_taken, serving

MODULES = ("auth", "commands", "schemas", "store")  # of a host, named as the service's
NGINX = """daemon off; master_process off; pid nginx.pid; error_log stderr; events {}
http {
access_log off; client_body_temp_path temp/1; proxy_temp_path temp/2;
fastcgi_temp_path temp/3; uwsgi_temp_path temp/4; scgi_temp_path temp/5;
server { listen %d ssl; ssl_certificate demo.crt; ssl_certificate_key demo.key; %s }
}"""
TEST_CLIENT = f"""
from json import load
from urllib.request import Request, urlopen

def test_job(shield):
    request = Request(shield + "{url()}", headers={{"Authorization": "Bearer {TOKEN}"}})
    with urlopen(request) as answer:
        print("served", shield, load(answer)["job_id"])
"""
needs_servers = pytest.mark.skipif(
    "CI" not in os.environ and not (DEV and shutil.which("nginx") and shutil.which("openssl")),
    reason="Granian, nginx or openssl is missing",
)


def example(word: str, old: str = "", new: object = "") -> str:
    """Return the README's block of Python with `word`, `old` in it replaced by `new`."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    assert old in found
    return str(found.replace(old, str(new)))


@pytest.fixture
def service(database: Path, tokens_file: Path, plant: Plant) -> Iterator[int]:
    """Yield the port of the server that the README recommends, under the path it names."""
    plant()
    prefix = dict(re.findall("`(GRANIAN_URL_PATH_PREFIX)=(.*?)`", README))
    settings = {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file, **prefix}
    with serving(*RECOMMENDED, settings=settings) as server:
        yield server.port


def curl(address: str, *options: str) -> str:
    command = ["curl", "-s", "--insecure", "--max-time", "10", *options, address]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def assert_all_is_under_its_path(site: str) -> None:
    bearer = ("-H", f"Authorization: Bearer {TOKEN}")
    assert json.loads(curl(f"{site}/shield{url()}", *bearer)) == JOB
    other = ("-H", "X-Forwarded-Prefix: /other", "-H", "X-Forwarded-Host: other.example")
    problem = json.loads(curl(f"{site}/shield{url('a%2Fb')}", *bearer, *other))
    assert (problem["status"], problem["instance"]) == (404, f"/shield{url('a/b')}")
    page = curl(f"{site}/shield/", "-o", os.devnull, "-w", "%{redirect_url}", *other)
    assert page == f"{site}/shield/docs/"
    assert "swagger-ui" in curl(page)
    assert yaml.safe_load(curl(f"{site}/shield/openapi.yaml"))["servers"][0]["url"] == "/shield"


@needs_servers
def test_a_flask_application_with_modules_of_the_same_names_is_the_proxy(
    tmp_path: Path, service: int
) -> None:
    (host := tmp_path / "host").mkdir()
    for name in MODULES:
        (host / f"{name}.py").write_text("OWN = True\n")
    use = "".join(f"from {name} import OWN\n" for name in MODULES)
    (host / "app.py").write_text(use + example("ProxyMiddleware", "8000", service))
    with serving(*FLASK_RUN, cwd=host) as server:
        assert_all_is_under_its_path(f"http://127.0.0.1:{server.port}")


@needs_servers
def test_nginx_with_tls_is_the_proxy(tmp_path: Path, service: int) -> None:
    certificate = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=demo -keyout demo.key"
    subprocess.run([*certificate.split(), "-out", "demo.crt"], check=True, cwd=tmp_path)
    (tmp_path / "temp").mkdir()
    (location,) = re.findall("`(location .*?)`", README)
    location = location.replace("8000", str(service))
    (tmp_path / "nginx.conf").write_text(NGINX % (port := free_port(), location))
    nginx = ("nginx", "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf")
    with serving(*nginx, cwd=tmp_path, port=port):
        assert_all_is_under_its_path(f"https://127.0.0.1:{port}")


def test_in_process_it_is_mounted_under_a_path(
    tmp_path: Path, database: Path, tokens_file: Path, plant: Plant
) -> None:
    plant()
    (tmp_path / "dashboard.py").write_text(example("create_app"))
    settings = {"PYTHONPATH": str(ROOT), "FLASK_APP": "dashboard"}
    with serving(*FLASK_RUN, settings=settings, cwd=tmp_path) as server:
        assert_all_is_under_its_path(f"http://127.0.0.1:{server.port}")


def test_a_fixture_serves_the_tests_of_a_client_and_ends(
    database: Path, tokens_file: Path, plant: Plant, copy: Path
) -> None:
    plant()
    folder = database.parent
    (folder / "conftest.py").write_text(example("pytest.fixture", "/srv/bulk-action-jobs", copy))
    (folder / "test_client.py").write_text(TEST_CLIENT)
    for name in ("app.py", "auth.py"):  # which the service must not take for its own
        (folder / name).touch()
    command = [sys.executable, "-B", "-m", "pytest", "-s", "-W", "error", "test_client.py"]
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    output = subprocess.check_output(command, cwd=folder, env=bare, text=True)
    ((port, job_id),) = re.findall(r"served http://127.0.0.1:(\d+) (.*)", output)
    assert (job_id, is_taken(int(port))) == (JOB_ID, False)
    assert not (folder / "instance").exists()
    assert not (copy / "instance").exists()


@pytest.mark.parametrize(
    "command",
    [(*FLASK, "routes"), (sys.executable, "-c", "from app import create_app; create_app()")],
    ids=["flask", "in process"],
)
def test_the_demo_is_made_in_the_checkout_and_not_where_its_host_runs(
    tmp_path: Path, copy: Path, command: tuple[str, ...]
) -> None:
    (host := tmp_path / "host").mkdir()
    paths = {"FLASK_APP": str(copy / "app.py"), "PYTHONPATH": str(copy)}
    subprocess.run(command, cwd=host, env=os.environ | paths, check=True)
    assert list(host.iterdir()) == []
    assert (copy / "instance" / "demo.db").exists()
