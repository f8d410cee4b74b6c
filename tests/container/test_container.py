"""The container and compose.yaml, without an engine: buildah runs it on the host's network."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import JOB, JOB_ID, Plant, url
from serving import README, ROOT, Server, free_port, serving, talk, wait_until

from demo import TOKEN, job_id

COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")


def run(*command: str | Path, text: str = "") -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input=text)
    return done.stdout.strip()


def services(text: str = COMPOSE) -> Any:
    """Return the services of a compose file, checked and read by a compose implementation."""
    command = ("docker-compose", "--project-directory", ROOT, "--file", "-", "config")
    return yaml.safe_load(run(*command, text=text))["services"]


class Container:
    volume: Path  # the volume and the port are a test's own
    port: int

    def __init__(self, folder: Path) -> None:
        buildah = ("buildah", "--storage-driver=vfs", f"--root={folder}/s", f"--runroot={folder}/r")
        run(Path(__file__).with_name("build"), folder, *buildah)
        self.srv = Path(run(*buildah, "mount", "app").split()[-1], "srv")
        self.config = json.loads(run(*buildah, "inspect", "app"))["Docker"]["config"]
        self._run = (*buildah, "run", "--isolation=chroot")

    def command(self, *command: str, **settings: str) -> list[str]:
        environment = [
            f"--env={n}={v}" for n, v in (settings | {"GRANIAN_PORT": self.port}).items()
        ]
        options = [f"--volume={self.volume}:/srv/instance", *environment, "app"]
        return [
            *self._run,
            *options,
            "sh",
            "-c",
            'echo $$ >instance/pid; exec "$@"',
            "sh",
            *command,
        ]

    def serving(self, **settings: str) -> AbstractContextManager[Server]:
        return serving(*self.command(*self.config["Cmd"], **settings), port=self.port)

    def get(self, job: str = job_id(2), token: str = TOKEN) -> str:
        request = f"GET {url(job)} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
        return talk(self.port, request.encode()).decode().removeprefix("HTTP/1.0 ")

    def end(self, latest: subprocess.Popen[bytes]) -> int:
        """Send SIGTERM as an engine does, where buildah sends SIGKILL; return the exit status."""
        os.kill(int((self.volume / "pid").read_text()), signal.SIGTERM)
        return latest.wait(20)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    yield Container(folder := tmp_path_factory.mktemp("container"))
    shutil.rmtree(folder)


@pytest.fixture
def container(built: Container, tmp_path: Path) -> Container:
    built.volume, built.port = tmp_path / "volume", free_port()
    built.volume.mkdir()
    shutil.chown(built.volume, (built.srv / "instance").stat().st_uid)  # as an engine does
    return built


def test_it_holds_nothing_private_and_its_user_may_write_only_the_volume(
    container: Container,
) -> None:
    files = [path for path in container.srv.rglob("*") if path.is_file()]
    assert not [path for path in files if path.read_bytes() == b"private\n"]
    script = "rm instance/pid; id -u; find / -xdev -writable -not -type l 2>&-; env"
    user, writable, *environment = run(*container.command("sh", "-c", script)).splitlines()
    assert user != "0"
    assert writable == "/srv/instance"
    assert all(re.match("(?!HTTP_)[A-Z_]+=", line) for line in environment)


def test_it_serves_the_demo_as_the_readme_says_and_logs_each_request(container: Container) -> None:
    assert " ".join(container.config["Cmd"]) in README
    with container.serving() as server:
        assert container.get().startswith("200 ")
        assert container.get(token="wrong").startswith("401 ")
        container.end(server.process)  # buildah copies the output
        assert f" GET {url(job_id(2))} 401 " in server.output()


def test_it_ends_within_the_ten_seconds_of_an_engine(container: Container) -> None:
    with container.serving() as server:
        with socket.create_connection(("127.0.0.1", container.port)) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            start = time.monotonic()
            assert container.end(server.process) == 0
        assert time.monotonic() - start < 10


def test_it_is_healthy_while_it_can_read_its_jobs(container: Container) -> None:
    check = container.command("sh", "-c", container.config["Healthcheck"]["Test"][1])
    with container.serving():
        assert subprocess.run(check, check=False).returncode == 0
        (container.volume / "demo.db").write_bytes(b"")
        assert subprocess.run(check, check=False).returncode == 1


def test_it_serves_its_users_jobs_and_a_commit_from_outside_with_the_next_request(
    container: Container, plant: Plant
) -> None:
    uncommented = re.sub("^    # (?=environment:|  FLASK_)", "    ", COMPOSE, flags=re.MULTILINE)
    settings = services(uncommented)["jobs"]["environment"]
    run(*container.command("flask", "jobs", "init", **settings))
    token = run(*container.command("flask", "tokens", "create", "laptop", **settings))
    with container.serving(**settings):
        assert container.get(JOB_ID, token).startswith("404 ")
        plant(path=container.volume / "jobs.db")
        assert container.get(JOB_ID, token).startswith("200 ")
        assert container.get(JOB_ID).startswith("401 ")


def test_a_large_import_writes_nowhere_but_to_the_volume(container: Container) -> None:
    jobs = [JOB | {"job_id": f"{n:08}-0000-4000-8000-000000000000"} for n in range(10_000)]
    command = container.command("flask", "jobs", "import", "-")
    assert run(*command, text=json.dumps(jobs)) == "10000 added, 0 replaced."


def test_the_simulator_moves_a_job_until_it_is_stopped(container: Container) -> None:
    jobs, simulator = services().values()
    assert jobs["volumes"] == simulator["volumes"]
    with container.serving():
        simulation = subprocess.Popen(container.command(*simulator["command"].split()))
        try:
            wait_until(lambda: '"progress_percent": 42' not in container.get())
        finally:
            assert container.end(simulation) == 0
        assert '"status": "cancelled"' in container.get()
