"""The product where what only POSIX has does not exist, as on Windows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from samples import demo_id, url
from serving import ROOT, serving, talk

from demo import TOKEN

MODULES = ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty")
FLAGS = (
    *("O_APPEND", "O_CREAT", "O_EXCL", "O_RDONLY", "O_RDWR", "O_TRUNC", "O_WRONLY"),
    "O_NONBLOCK",  # Python's own shutil uses it, once it has seen that this is POSIX
)
FUNCTIONS = (
    *("chown", "chroot", "fchmod", "fchown", "fork", "geteuid", "getegid", "getgid", "getuid"),
    *("killpg", "lchown", "mkfifo", "mknod", "nice", "openpty", "posix_spawn", "pread", "pwrite"),
    *("sched_getaffinity", "sendfile", "setsid", "setuid", "sync", "sysconf", "uname", "wait"),
)
SIGNALS = ("KILL", "HUP", "PIPE", "CHLD", "USR1", "USR2", "ALRM", "QUIT")
ABSENT = {
    "os": {*FUNCTIONS, *(n for n in dir(os) if n.startswith("O_") and n not in FLAGS)},
    "signal": {"alarm", "pthread_kill", "setitimer", "sigwait", *(f"SIG{n}" for n in SIGNALS)},
}
FLASK_WITHOUT_POSIX = f"""
import os, signal, subprocess, sys  # they look for what is there when they are imported
for name, absent in {ABSENT!r}.items():
    for attribute in absent & set(dir(sys.modules[name])):
        delattr(sys.modules[name], attribute)
sys.modules |= dict.fromkeys({MODULES!r})
from flask.cli import main
main()
"""
COMMAND = (sys.executable, "-c", FLASK_WITHOUT_POSIX)
PRODUCT = [*ROOT.glob("*.py"), *ROOT.glob("web/*.py"), *ROOT.glob("demo/*.py")]


def test_it_makes_databases_and_serves_the_demo_without_posix(copy: Path) -> None:
    for command in (("jobs", "init"), ("tokens", "create", "laptop")):
        environment = os.environ | {"FLASK_DATABASE": "jobs.db"}
        subprocess.run([*COMMAND, *command], cwd=copy, env=environment, check=True)
    with serving(*COMMAND, "run", cwd=copy) as server:
        request = f"GET {url(demo_id(1))} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        assert b" 200 " in talk(server.port, request.encode())


@pytest.mark.parametrize("module", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_names_what_only_posix_has_or_what_is_private(module: Path) -> None:
    source = module.read_text("utf-8")
    assert not re.findall(r"(?<!\bself)(?<!\bsuper\(\))\._[a-z]\w*|import _", source)
    assert not {*re.findall(r"(?m)^\s*(?:import|from) (\w+)", source)} & {"posix", *MODULES}
    for name, absent in ABSENT.items():
        assert not {*re.findall(rf"\b{name}\.(\w+)", source)} & absent
        assert f"from {name} import" not in source
