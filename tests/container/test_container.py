"""The image, built by buildah, run with the settings of compose.yaml as an engine applies them."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from samples import demo_id, demo_job, url
from serving import README, ROOT, free_port, serving, talk

from demo import TOKEN

COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")
OWN_JOBS = re.sub("^    # (?=(environment|volumes|user): )", "    ", COMPOSE, flags=re.MULTILINE)
JOB = url(demo_id(1))
PORT = free_port()
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


def get(token: str) -> str:
    request = f"GET {JOB} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
    return talk(PORT, request.encode()).decode().removeprefix("HTTP/1.0 ")


class Container(NamedTuple):
    root: Path
    image: dict[str, Any]
    folder: str  # is mounted at /data
    user: str
    settings: tuple[str, ...] = ()

    def command(self, *command: str) -> list[str]:
        engine = ("unshare", "--mount", "sh", "-ec", ENGINE, str(self.root), self.folder)
        variables = (*self.image["Env"], *self.settings, f"GRANIAN_PORT={PORT}")
        chroot = (f"--userspec={self.user}", str(self.root))
        return [*engine, *chroot, "env", "-i", "--chdir=/srv", *variables, *command]


@pytest.fixture(scope="module")
def demo() -> Iterator[Container]:
    with tempfile.TemporaryDirectory() as folder:
        buildah = ("buildah", "--storage-driver=vfs", f"--root={folder}/s", f"--runroot={folder}/r")
        run(Path(__file__).with_name("build"), folder, *buildah)
        root = Path(run(*buildah, "mount", "app").split()[-1])
        image = json.loads(run(*buildah, "inspect", "app"))["Docker"]["config"]
        (root / "data").mkdir()
        yield Container(root, image, f"{root}/data", image["User"])


def test_the_image_holds_only_the_product_and_its_user_writes_nothing(demo: Container) -> None:
    files = (demo.root / "srv").rglob("*")
    assert not [path for path in files if path.is_file() and path.read_bytes() == b"private\n"]
    find = "from importlib.util import find_spec as f; print(f('pytest'), f('apispec'), f('yaml'))"
    assert run(*demo.command("python", "-c", find)) == "None None None"
    find = "find / -xdev -writable -type d,f 2>&- || true"
    found = run("chroot", "--groups=", f"--userspec={demo.user}", demo.root, "sh", "-c", find)
    assert set(found.split()) <= {"/run/lock", "/tmp", "/var/lock", "/var/tmp"}  # noqa: S108 (Debian's)


def test_it_serves_the_demo_and_logs_requests_and_ends_in_ten_seconds(demo: Container) -> None:
    assert " ".join(demo.image["Cmd"]) in README
    with serving(*demo.command(*demo.image["Cmd"]), port=PORT) as server:
        assert get(TOKEN).startswith("200 ")
        assert get("wrong").startswith("401 ")
        assert f" GET {JOB} 401 " in server.output()
        with socket.create_connection(("127.0.0.1", PORT)) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            server.process.terminate()
            assert server.process.wait(10) == 0


@pytest.mark.parametrize(("user", "way"), [("4001:4000", 0), ("10001:4000", 1)])
def test_each_way_of_compose_yaml_to_share_a_folder_serves_what_its_owner_writes(
    demo: Container, user: str, way: int
) -> None:
    """The owner is also the service's user, or shares a group with it."""
    owner = ("setpriv", "--reuid=4001", "--regid=4000", "--clear-groups", "sh", "-ec")
    change = "sqlite3 data/jobs.db \"UPDATE bulk_action_jobs SET created_by = 'outside'\""
    make = re.findall("#   (mkdir .*)", COMPOSE)[way]
    commands = re.findall("run --rm (?:-T )?jobs (flask [a-z ]+-?)", COMPOSE)
    read = ("docker-compose", "--project-directory", ROOT, "--file", "-", "config")
    compose = yaml.safe_load(run(*read, text=OWN_JOBS))["services"]["jobs"]
    assert (compose["read_only"], compose["tmpfs"]) == (True, ["/tmp"])  # noqa: S108 (its own)
    assert compose["volumes"] == [f"{ROOT}/data:/data:rw"]
    settings = tuple(f"{name}={value}" for name, value in compose["environment"].items())
    captured = json.dumps(demo_job(1))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(ROOT / "schema.sql", Path(folder, "schema.sql"))  # to be read by all
        shutil.chown(folder, 4001, 4000)
        run(*owner, f"cd {folder}; {make}")
        own = Container(demo.root, demo.image, f"{folder}/data", user, settings)
        init, load, create = (own.command(*command.split()) for command in commands)
        assert subprocess.call(init) == way  # the second has made the database
        token = run(*create)
        with serving(*own.command(*own.image["Cmd"]), port=PORT):
            run(*load, text=captured)
            assert get(token).endswith(f"\r\n\r\n{captured}\n")
            run(*owner, f"cd {folder}; {change}")
            assert '"created_by": "outside"' in get(token)
            check = own.command(*own.image["Healthcheck"]["Test"][1:])
            assert subprocess.call(check) == 0
            Path(folder, "data", "jobs.db").rename(Path(folder, "away.db"))
            assert subprocess.call(check) == 1
