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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What holds a command to the modes of files where it is run by root, too.
HELD = () if os.getuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
FLASK = (sys.executable, "-m", "flask")


class Server:
    """A process that serves on `port`, both its outputs in a file: a pipe unread would fill."""

    def __init__(
        self, *command: str, port: int, cwd: str | Path = ROOT, **settings: str | Path
    ) -> None:
        self.port = port
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in stop)
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {name: str(value) for name, value in settings.items()},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def wait(self) -> int:
        """Return the exit status, when the process has ended by itself."""
        return self._process.wait(20)

    def wait_for_port(self, listens: bool = True) -> None:
        """Return when something listens there, or when nothing does any more."""
        deadline = time.monotonic() + 60
        while True:
            if is_free(self.port) != listens:
                return
            assert not listens or self._process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def terminate(self) -> None:
        self._process.terminate()

    def stop(self) -> None:
        """End the process, and all that it has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(20)
        self.wait_for_port(listens=False)  # its child may outlive a shell
        self._log.close()


@contextmanager
def recommended(database: Path, tokens_file: Path, *prefix: str) -> Iterator[Server]:
    """Yield the server that the README recommends, started as it says, once it listens."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (line,) = re.findall("^granian (.*)", readme, re.MULTILINE)
    port = free_port()
    command = (*prefix, sys.executable, "-m", "granian", *line.split(), "--port", str(port))
    settings = {"FLASK_DATABASE": database, "FLASK_TOKENS_FILE": tokens_file}
    server = Server(*command, port=port, **settings)
    try:
        server.wait_for_port()
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port below those that connections go out from.

    To ask for one of those where nobody listens yet may meet oneself.
    """
    ports = random.SystemRandom().sample(range(20_000, 32_768), 20)
    return next(filter(is_free, ports))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def serving(*args: str, cwd: str | Path = ROOT, **settings: str | Path) -> Iterator[Server]:
    """Yield a `flask run ARGS` that listens."""
    port = free_port()
    server = Server(*FLASK, "run", "--port", str(port), *args, port=port, cwd=cwd, **settings)
    try:
        server.wait_for_port()
        yield server
    finally:
        server.stop()


def talk(port: int, request: bytes) -> bytes:
    """Send `request` as it is and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))
