"""The service as its user runs it: `flask run`, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def flask(*args: str, cwd: str | Path = ROOT, **settings: str | Path) -> subprocess.Popen[str]:
    """Start `flask ARGS` with the settings in its environment, both outputs in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", *args],
        cwd=cwd,
        env=os.environ | {name: str(value) for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    """Return when something listens on `port`."""
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def serving(*args: str, **settings: str | Path) -> Iterator[int]:
    """Serve on a free port, the one yielded."""
    port = free_port()
    process = flask("run", "--port", str(port), *args, **settings)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.communicate()


def talk(port: int, request: bytes) -> bytes:
    """Send `request` as it is and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))
