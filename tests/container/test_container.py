"""The image, built by buildah, run with the settings of compose.yaml as an engine applies them."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from samples import demo_id, url
from serving import README, ROOT, Server, free_port, serving, talk

from demo import TOKEN

COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")
OWN_JOBS = re.sub("^    # (?=(environment|volumes|user): )", "    ", COMPOSE, flags=re.MULTILINE)
JOB = url(demo_id(1))
# What an engine does: $0 is the root of the image, $1 the folder that is mounted.
ENGINE = """
mount --bind "$0" "$0"
mount --rbind /dev "$0/dev"
mount --types tmpfs --options mode=1777 tmpfs "$0/tmp"
mount --bind "$1" "$0/data"
mount --options remount,bind,ro "$0"
shift
exec chroot --groups= "$@"
"""


def run(*command: str | Path, text: str = "") -> str:
    return subprocess.check_output(command, text=True, input=text).strip()


def service(text: str) -> dict[str, Any]:
    """Return the service of a compose file, checked and read by a compose implementation."""
    command = ("docker-compose", "--project-directory", ROOT, "--file", "-", "config")
    jobs: dict[str, Any] = yaml.safe_load(run(*command, text=text))["services"]["jobs"]
    assert (jobs["read_only"], jobs["tmpfs"]) == (True, ["/tmp"])  # noqa: S108 (the container's)
    return jobs


def get(server: Server, token: str = TOKEN) -> str:
    request = f"GET {JOB} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
    return talk(server.port, request.encode()).decode().removeprefix("HTTP/1.0 ")


class Container(NamedTuple):
    root: Path
    image: dict[str, Any]
    folder: str  # is mounted at /data
    user: str
    environment: dict[str, str]

    def command(self, *command: str, port: int = 0) -> list[str]:
        settings = {**self.environment, "GRANIAN_PORT": port}
        variables = [*self.image["Env"], *(f"{name}={settings[name]}" for name in settings)]
        engine = ("unshare", "--mount", "sh", "-ec", ENGINE, str(self.root), self.folder)
        chroot = (f"--userspec={self.user}", str(self.root))
        return [*engine, *chroot, "env", "-i", "--chdir=/srv", *variables, *command]

    def serving(self) -> AbstractContextManager[Server]:
        port = free_port()
        return serving(*self.command(*self.image["Cmd"], port=port), port=port)


@pytest.fixture(scope="module")
def demo() -> Iterator[Container]:
    with tempfile.TemporaryDirectory() as folder:
        buildah = ("buildah", "--storage-driver=vfs", f"--root={folder}/s", f"--runroot={folder}/r")
        run(Path(__file__).with_name("build"), folder, *buildah)
        root = Path(run(*buildah, "mount", "app").split()[-1])
        image = json.loads(run(*buildah, "inspect", "app"))["Docker"]["config"]
        (root / "data").mkdir()
        yield Container(root, image, f"{root}/data", image["User"], {})


def test_the_image_holds_only_the_product_and_its_user_writes_nothing(demo: Container) -> None:
    files = (demo.root / "srv").rglob("*")
    assert not [path for path in files if path.is_file() and path.read_bytes() == b"private\n"]
    find = "from importlib.util import find_spec as f; print(f('pytest'), f('apispec'), f('yaml'))"
    assert run(*demo.command("python", "-c", find)) == "None None None"
    find = "find / -xdev -writable -type d,f 2>&- || true"
    found = run("chroot", "--groups=", f"--userspec={demo.user}", demo.root, "sh", "-c", find)
    assert set(found.split()) <= {"/run/lock", "/tmp", "/var/lock", "/var/tmp"}  # noqa: S108 (Debian's)


def test_six_containers_serve_the_demo_and_log_each_request_and_end_within_ten_seconds(
    demo: Container,
) -> None:
    assert " ".join(demo.image["Cmd"]) in README
    service(COMPOSE)
    with ExitStack() as stack:
        for server in [stack.enter_context(demo.serving()) for _ in range(6)]:
            assert get(server).startswith("200 ")
            assert get(server, "wrong").startswith("401 ")
            assert f" GET {JOB} 401 " in server.output()
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            server.process.terminate()
            assert server.process.wait(10) == 0


def test_the_commands_of_compose_yaml_serve_ones_own_jobs_and_tell_its_health(
    demo: Container,
) -> None:
    settings = service(OWN_JOBS)
    assert settings["volumes"] == [f"{ROOT}/data:/data:rw"]
    with demo.serving() as server:
        captured = get(server).partition("\r\n\r\n")[2]
    commands = re.findall("run --rm (?:-T )?jobs (flask [a-z ]+-?)", COMPOSE)
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, 4001, 4000)
        own = Container(demo.root, demo.image, folder, "4001:4000", settings["environment"])
        init, load, create = (own.command(*command.split()) for command in commands)
        run(*init)
        token = run(*create)
        with own.serving() as server:
            check = own.command(*own.image["Healthcheck"]["Test"][1:], port=server.port)
            run(*load, text=captured)
            assert get(server, token).endswith(captured)
            change = "UPDATE bulk_action_jobs SET created_by = 'outside'"
            run("sqlite3", f"{folder}/jobs.db", change)
            assert '"created_by": "outside"' in get(server, token)
            assert subprocess.call(check) == 0
            Path(folder, "jobs.db").rename(Path(folder, "away.db"))
            assert subprocess.call(check) == 1


def test_an_owner_and_a_service_of_two_users_share_a_database(demo: Container) -> None:
    owner = ("setpriv", "--reuid=4001", "--regid=4000", "--clear-groups", "sh", "-ec")
    (make,) = re.findall("mkdir data && .*", COMPOSE)
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, 4001, 4000)
        Path(folder).chmod(0o755)
        shutil.copyfile(ROOT / "schema.sql", schema := Path(folder, "schema.sql"))
        schema.chmod(0o644)
        run(*owner, f"cd {folder} && {make}")
        settings = service(OWN_JOBS)["environment"]
        shared = Container(demo.root, demo.image, f"{folder}/data", "10001:4000", settings)
        token = run(*shared.command("flask", "tokens", "create", "laptop"))
        with shared.serving() as server:
            assert get(server, token).startswith("404 ")
            for expires_at, status in (("'2020-01-01T00:00:00Z'", "401 "), ("NULL", "404 ")):
                change = f"UPDATE tokens SET expires_at = {expires_at}"  # noqa: S608 (two constants)
                run(*owner, f'sqlite3 {folder}/data/jobs.db "{change}"')
                assert get(server, token).startswith(status)
