"""The service as its user runs it: a process of its own."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
# What holds a command to the modes of files where it is run by root, too.
HELD = () if os.getuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # what is installed comes first
FLASK_RUN = (sys.executable, "-m", "flask", "run")
RECOMMENDED = (sys.executable, "-m", *re.findall("^granian .*", README, re.MULTILINE)[0].split())
GUNICORN = (sys.executable, "-m", "gunicorn", "app:create_app()")


class Server(NamedTuple):
    """A process, to listen on `port`, both its outputs in a file: a pipe unread would fill."""

    port: int
    process: subprocess.Popen[bytes]
    log: IO[str]

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()


@contextmanager
def serving(
    *command: str,
    settings: Mapping[str, object] = {},
    port: int = 0,
    cwd: Path = ROOT,
    fails: bool = False,
) -> Iterator[Server]:
    """Yield a server that listens or, where it `fails`, has ended; then end all it has started."""
    port = port or free_port()
    variables = {"PATH": PATH, **settings, "FLASK_RUN_PORT": port, "GRANIAN_PORT": port}
    variables["GUNICORN_CMD_ARGS"] = f"--bind=127.0.0.1:{port} --no-control-socket"
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {name: str(value) for name, value in variables.items()},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        server = Server(port, process, log)
        try:
            wait_until(lambda: process.poll() is not None or (is_taken(port) and not fails))
            assert (process.poll() is not None) == fails, server.output()
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
            wait_until(lambda: not is_taken(port))  # its child may outlive a shell


def wait_until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    """Return a port below those that connections go out from: one of those may meet itself."""
    ports = random.SystemRandom().sample(range(20_000, 32_768), 20)
    return next(port for port in ports if not is_taken(port))


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def talk(port: int, request: bytes, timeout: float = 10) -> bytes:
    """Send `request` as it is and return all that comes back, which may be nothing."""
    parts = []
    # A server may hang up before it has read all, or wait for the rest.
    with (
        suppress(ConnectionError, TimeoutError),
        socket.create_connection(("127.0.0.1", port), timeout) as connection,
    ):
        connection.sendall(request)
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
