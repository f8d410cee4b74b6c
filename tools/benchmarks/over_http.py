"""What servers answer over HTTP, under load by wrk on the same machine."""

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from data import AUTHORIZED, resident, table, url

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DEADLINE = 30  # seconds for a server to answer, or to end
CONNECTIONS = 16
WARM_UP, DURATION = 1, 2  # seconds


class Server(NamedTuple):
    """How to start a server: `python -m COMMAND --port PORT`, in which folder."""

    name: str
    command: str
    folder: Path


GRANIAN = "granian --interface wsgi --http 1 --blocking-threads 1 --log-level warning"
GRANIAN_ASGI = "granian --interface asgi --http 1 --loop uvloop --log-level warning"
UVICORN = "uvicorn --no-access-log"  # with uvloop and httptools
SERVERS = [
    Server("bare Flask, granian", f"{GRANIAN} --factory bare:create_app", HERE),
    Server("this service, granian", f"{GRANIAN} --factory app:create_app", ROOT),
    Server("FastAPI tuned, granian", f"{GRANIAN_ASGI} with_fastapi_tuned:app", HERE),
    Server("FastAPI tuned, uvicorn", f"{UVICORN} with_fastapi_tuned:app", HERE),
    Server("APIFlask, granian", f"{GRANIAN} with_apiflask:app", HERE),
    Server("flask-smorest, granian", f"{GRANIAN} with_flask_smorest:app", HERE),
    Server("FastAPI, uvicorn", f"{UVICORN} with_fastapi:app", HERE),
    Server("bare Flask, flask run", "flask --app bare run", HERE),
    Server("this service, flask run", "flask --app app run", ROOT),
]


class Load(NamedTuple):
    """What a server did under load: requests a second, p99 in milliseconds, bytes of memory."""

    rate: float
    p99: float
    memory: float


def free_port() -> int:
    """Return a free port, below those that connections go out from."""
    while True:
        with socket.socket() as probe:
            port = random.SystemRandom().randrange(20_000, 32_768)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def status_of(port: int) -> int | None:
    """Return the status that a server answers with, or None where none listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with closing(connection), suppress(ConnectionRefusedError):
        connection.request("GET", url(0), headers=AUTHORIZED)
        return connection.getresponse().status
    return None


@contextmanager
def running(server: Server, database: Path, body: Path) -> Iterator[tuple[int, int]]:
    """Yield a server's port and process group once it answers, and end all that it has started."""
    port = free_port()
    others = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *server.command.split(), "--port", str(port)],
            cwd=server.folder,
            env=others | {"FLASK_DATABASE": str(database), "BENCH_BODY": str(body)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            start = time.monotonic()
            while (status := status_of(port)) != 200:
                late = time.monotonic() - start > DEADLINE
                if late or status is not None or process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"{server.name}: {status}\n{log.read()}")
                time.sleep(0.01)
            yield port, process.pid
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(DEADLINE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def resident_group(group: int) -> int:
    """Return the resident sets of all processes of a group, in bytes."""
    total = 0
    for pid in [int(path.name) for path in Path("/proc").glob("[0-9]*")]:
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(pid) == group:
                total += resident(pid)
    return total


def load(server: Server, database: Path, body: Path) -> Load:
    """Start a server, and put it under load."""
    with running(server, database, body) as (port, group):
        command = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", "--latency"]
        command += [f"--header=Authorization: {AUTHORIZED['Authorization']}"]
        command += [f"http://127.0.0.1:{port}{url(0)}"]
        for seconds in (WARM_UP, DURATION):
            output = subprocess.run(
                [*command, f"--duration={seconds}s"], check=True, capture_output=True, text=True
            ).stdout
        memory = resident_group(group)
    rate = re.search(r"Requests/sec: +([0-9.]+)", output)
    p99 = re.search(r" 99% +([0-9.]+)(us|ms|s)", output)
    if not rate or not p99 or re.search("Non-2xx|connect [1-9]|timeout [1-9]", output):
        raise RuntimeError(f"{server.name}:\n{output}")
    milliseconds = float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
    return Load(float(rate[1]), milliseconds, memory)


def loads(database: Path, body: Path, rounds: int) -> dict[str, Load]:
    """Return what each server did, the medians of `rounds`. `body` is what the bare one sends."""
    samples: dict[str, list[Load]] = {server.name: [] for server in SERVERS}
    for number in range(rounds):
        for server in SERVERS if number % 2 else reversed(SERVERS):  # not always after the same one
            samples[server.name].append(load(server, database, body))
    return {name: Load(*map(median, zip(*sample, strict=True))) for name, sample in samples.items()}


def report(loads: Mapping[str, Load], rounds: int) -> str:
    """Return a table of what the servers did."""
    return table(
        "HTTP",
        f"wrk on the same machine asks for one job over {CONNECTIONS} connections, for {DURATION} "
        f"s a round; medians of {rounds} rounds. RSS is that of all processes of the server.",
        ["server", "requests/s", "p99, ms", "RSS, MiB"],
        [
            [name, f"{load.rate:,.0f}", f"{load.p99:.1f}", f"{load.memory / 2**20:.0f}"]
            for name, load in loads.items()
        ],
    )
