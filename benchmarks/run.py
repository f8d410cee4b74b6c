"""What the service costs, beside other ways to serve the same job.

    python benchmarks/run.py [--quick] [--save]

Linux only: memory is read from /proc.
"""

import http.client
import itertools
import json
import logging
import os
import platform
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch
from uuid import NAMESPACE_OID, uuid5

import click
import flask
from werkzeug.routing import MapAdapter
from werkzeug.test import create_environ, run_wsgi_app

sys.path.append(str(Path(__file__).parent.parent))

import bare
import bare_token

import demo
import messages
import store
from app import create_app
from schemas import JobSchema

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "RESULTS.md"
DEADLINE = 30  # seconds for a server to answer, or to end
CONNECTIONS = 16
BLOCK = 50  # requests in a row: what ran before them has left the processor's caches
WARM = 10  # requests before a block, not timed
JOB = demo.jobs(datetime.now(UTC))[0]  # completed


def job_id(number: int) -> str:
    """Return the id of the job of that number: the same in every run, and in no order."""
    return str(uuid5(NAMESPACE_OID, str(number)))


def url(number: int) -> str:
    """Return the path of the job of that number."""
    return f"/api/actions/bulk/jobs/{job_id(number)}"


@contextmanager
def bar(length: int, label: str) -> Iterator[Iterator[int]]:
    """Yield the numbers below `length`, with a progress bar where a person looks on."""
    with click.progressbar(
        range(length),
        label=label,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        update_min_steps=max(length // 100, 1),
    ) as numbers:
        yield iter(numbers)


def table(title: str, note: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a section of Markdown: the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {title}\n\n{note}\n\n{text}\n"


def build(path: Path, count: int) -> None:
    """Make a database of `count` jobs."""
    with bar(count, f"{count:,} jobs") as numbers:
        store.create(path, (JOB | {"job_id": job_id(number)} for number in numbers))


def warm(path: Path) -> None:
    """Have the system read the file into its page cache: it may have dropped it meanwhile."""
    with path.open("rb") as file:
        while file.read(2**20):
            pass


# In process


Override = tuple[Any, str, Any]  # whose attribute, its name, and what Flask or Werkzeug has there


class Case(NamedTuple):
    """Requests of one kind, the application that answers them, with which status, without what."""

    name: str
    app: "WSGIApplication"
    status: int
    environs: "Iterator[WSGIEnvironment]"
    without: Sequence[Override] = ()


def service(database: Path) -> "WSGIApplication":
    """Return this service."""
    return create_app({"DATABASE": str(database), "TOKENS_FILE": str(demo.TOKENS_FILE)})


def environ(number: int, **headers: str) -> "WSGIEnvironment":
    """Return a request of the job of that number."""
    return create_environ(url(number), headers=headers)


AUTHORIZED = {"Authorization": f"Bearer {demo.TOKEN}"}


def repeated(request: "WSGIEnvironment") -> "Iterator[WSGIEnvironment]":
    """Yield the same request again and again: applications write into it."""
    while True:
        yield request.copy()


def distinct(numbers: range) -> "Iterator[WSGIEnvironment]":
    """Yield a request of each job."""
    request = environ(0, **AUTHORIZED)
    for path in map(url, numbers):
        yield request | {"PATH_INFO": path, "REQUEST_URI": path, "RAW_URI": path}


def part(do: Callable[[str], object]) -> "WSGIApplication":
    """Return an application that does that alone, with the id of the job that is asked for."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        do(environ["PATH_INFO"].rpartition("/")[2])
        start_response("200 OK", [])
        return []

    return app


def opened(database: Path, job_id: str) -> None:
    """Read as the frameworks do: with a connection of its own."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT * FROM bulk_action_jobs WHERE job_id = ?", (job_id,)).fetchone()


def answer(case: Case, count: int = 1) -> float:
    """Answer requests of the case, and return how many nanoseconds one took."""
    requests = [next(case.environs) for _ in range(count)]
    statuses: list[str] = []

    def start_response(status: str, *_: Any) -> Callable[[bytes], object]:
        statuses.append(status)
        return bytes

    start = time.perf_counter_ns()
    for request in requests:
        body = case.app(request, start_response)
        b"".join(body)
        if close := getattr(body, "close", None):
            close()
    elapsed = time.perf_counter_ns() - start
    if {status[:3] for status in statuses} != {str(case.status)}:
        raise RuntimeError(f"{case.name}: {set(statuses)}")
    return elapsed / count


def medians(cases: Sequence[Case], rounds: int, label: str) -> list[float]:
    """Answer BLOCK requests of each case in each round; return the medians in microseconds."""
    samples: list[list[float]] = [[] for _ in cases]
    with bar(rounds, label) as numbers:
        for number in numbers:
            order = range(len(cases))
            for index in order if number % 2 else reversed(order):  # not always after the same one
                with ExitStack() as stack:
                    for override in cases[index].without:
                        stack.enter_context(patch.object(*override))
                    answer(cases[index], WARM)  # a class that has changed is slower at first
                    samples[index].append(answer(cases[index], BLOCK))
    return [median(sample) / 1000 for sample in samples]


def compare(title: str, note: str, cases: Sequence[Case], rounds: int) -> str:
    """Return a table of the cases, beside the first of them."""
    results = medians(cases, rounds, title)
    return table(
        f"{title}, in process",
        f"{note} Medians of {rounds:,} rounds of {BLOCK} requests of each.",
        ["case", "µs", "of the first", "difference, µs"],
        [
            [case.name, f"{result:.1f}", f"{result / results[0]:.2f}", f"{result - results[0]:.1f}"]
            for case, result in zip(cases, results, strict=True)
        ],
    )


def requests(database: Path, count: int, rounds: int) -> str:
    """Compare kinds of requests, and other frameworks."""
    os.environ["FLASK_DATABASE"] = str(database)  # they read it when they are imported
    import with_apiflask
    import with_flask_smorest

    app = service(database)
    chunks, _, headers = run_wsgi_app(app, environ(0, **AUTHORIZED))
    body = b"".join(chunks)
    known = environ(0, **AUTHORIZED)
    unmodified = environ(0, **AUTHORIZED, **{"If-None-Match": headers["ETag"]})
    forged = environ(0, Authorization="Bearer forged")
    numbers = range(1, count, count // (rounds * (WARM + BLOCK) + 1))
    jobs, job = store.JobStore(database), JOB | {"job_id": job_id(0)}
    schema, to_json = JobSchema(), json.JSONEncoder(ensure_ascii=False).encode
    cases = [
        Case("bare Flask", bare.make_app(body), 200, repeated(known)),
        Case("bare Flask, token", bare_token.make_app(body), 200, repeated(known)),
        Case("this service, 200, repeated", app, 200, repeated(known)),
        Case("this service, 304", app, 304, repeated(unmodified)),
        Case("this service, 401, no token", app, 401, repeated(environ(0))),
        Case("this service, 401, unknown token", app, 401, repeated(forged)),
        Case("this service, 404", app, 404, repeated(environ(-1, **AUTHORIZED))),
        Case("this service, 200, first read", service(database), 200, distinct(numbers)),
        Case("of it: the row", part(jobs.get), 200, distinct(numbers)),
        Case("of it: JSON", part(lambda _: to_json(schema.dump(job))), 200, repeated(known)),
        Case("APIFlask, 200", with_apiflask.app, 200, repeated(known)),
        Case("flask-smorest, 200", with_flask_smorest.app, 200, repeated(known)),
        Case("of both: open, SELECT, close", part(partial(opened, database)), 200, repeated(known)),
    ]
    warm(database)
    note = (
        f"Through the WSGI callable; the database has {count:,} jobs. APIFlask and flask-smorest "
        "open it for each request, as Flask's documentation does."
    )
    return compare("Requests", note, cases, rounds)


def checked(
    self: messages.Response, body: bytes, status: int, headers: Sequence[tuple[str, str]]
) -> None:
    """Make a response as Flask does."""
    flask.Response.__init__(self, body, status, headers)


OVERRIDES: dict[str, Override] = {
    "authorization": (messages.Request, "authorization", flask.Request.authorization),
    "Response.__init__": (messages.Response, "__init__", checked),
    "Response.__call__": (messages.Response, "__call__", flask.Response.__call__),
    "_Routes": (messages._Routes, "match", MapAdapter.match),
    "ensure_sync": (messages.Flask, "ensure_sync", flask.Flask.ensure_sync),
    "create_url_adapter, and so _Routes": (
        messages.Flask,
        "create_url_adapter",
        flask.Flask.create_url_adapter,
    ),
}


def overrides(database: Path, rounds: int) -> str:
    """See what each override of Flask and Werkzeug in messages.py saves."""
    app, known = service(database), environ(0, **AUTHORIZED)
    without = {"with all": [], "without any": [*OVERRIDES.values()]}
    without |= {f"without {name}": [override] for name, override in OVERRIDES.items()}
    cases = [Case(name, app, 200, repeated(known), taken) for name, taken in without.items()]
    return compare("Overrides", "A repeated read, with parts of messages.py.", cases, rounds)


def sizes(databases: Mapping[int, Path]) -> str:
    """Compare databases of different sizes."""
    rounds = min(databases) // (WARM + BLOCK) - 1  # each first read is of another job
    cases = []
    for count, path in databases.items():
        warm(path)
        app, known = service(path), repeated(environ(0, **AUTHORIZED))
        spread = distinct(range(1, count, count // (rounds * (WARM + BLOCK) + 1)))
        cases += [Case(f"{count:,} again", app, 200, known), Case("first", app, 200, spread)]
    results = iter(medians(cases, rounds, "Sizes"))
    return table(
        "Size of the database, in process",
        f"{BLOCK} requests of each in each of {rounds:,} rounds; medians. The files are in the "
        "system's page cache.",
        ["jobs", "MB", "repeated read, µs", "first read, µs"],
        [
            [f"{count:,}", f"{size / 1e6:.1f}", f"{next(results):.1f}", f"{next(results):.1f}"]
            for count, size in ((count, path.stat().st_size) for count, path in databases.items())
        ],
    )


# Memory


def resident(pid: int) -> int:
    """Return the resident set of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_jobs(database: Path, marks: Sequence[int]) -> list[int]:
    """Read jobs, each once, and return the resident set when each mark has been reached."""
    case = Case("memory", service(database), 200, distinct(range(marks[-1])))
    sets = []
    for done, mark in itertools.pairwise((0, *marks)):
        for _ in range(mark - done):
            answer(case)
        sets.append(resident(os.getpid()))
    return sets


def memory(database: Path, count: int) -> str:
    """See what reading jobs does to the memory of a process that does nothing else."""
    marks = [1, 1000, count // 2, count]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        sets = executor.submit(read_jobs, database, marks).result()
    return table(
        "Memory, in process",
        "Of a fresh process that reads as many jobs, each once.",
        ["jobs read", "RSS, MiB", "growth, MiB"],
        [
            [f"{mark:,}", f"{size / 2**20:.1f}", f"{(size - sets[0]) / 2**20:.1f}"]
            for mark, size in zip(marks, sets, strict=True)
        ],
    )


# Servers


class Server(NamedTuple):
    """How to start a server: `python -m COMMAND --port PORT`."""

    name: str
    command: str
    cwd: Path


GRANIAN = "granian --interface wsgi --http 1 --blocking-threads 1 --log-level warning"
GRANIAN_ASGI = "granian --interface asgi --http 1 --loop uvloop --log-level warning"
UVICORN = "uvicorn --no-access-log"  # with uvloop and httptools
SERVICE = Server("this service, flask run", "flask --app app run", ROOT)
BARE = Server("bare Flask, flask run", "flask --app bare run", HERE)
SERVERS = [
    SERVICE,
    BARE,
    Server("this service, granian", f"{GRANIAN} --factory app:create_app", ROOT),
    Server("bare Flask, granian", f"{GRANIAN} --factory bare:create_app", HERE),
    Server("FastAPI, uvicorn", f"{UVICORN} with_fastapi:app", HERE),
    Server("FastAPI tuned, uvicorn", f"{UVICORN} with_fastapi_tuned:app", HERE),
    Server("FastAPI tuned, granian", f"{GRANIAN_ASGI} with_fastapi_tuned:app", HERE),
    Server("APIFlask, granian", f"{GRANIAN} with_apiflask:app", HERE),
    Server("flask-smorest, granian", f"{GRANIAN} with_flask_smorest:app", HERE),
]


def free_port() -> int:
    """Return a free port, below those that connections go out from."""
    while True:
        with socket.socket() as probe:
            port = random.SystemRandom().randrange(20_000, 32_768)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def status_of(port: int, path: str) -> int | None:
    """Return the status that a server answers with, or None where none listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with closing(connection), suppress(ConnectionRefusedError):
        connection.request("GET", path, headers=AUTHORIZED)
        return connection.getresponse().status
    return None


class Running(NamedTuple):
    """A server that has answered, and how many seconds after its start it first did."""

    port: int
    group: int
    seconds: float

    def resident(self) -> int:
        """Return the resident sets of its processes, in bytes."""
        total = 0
        for pid in [int(path.name) for path in Path("/proc").glob("[0-9]*")]:
            with suppress(ProcessLookupError, FileNotFoundError):
                if os.getpgid(pid) == self.group:
                    total += resident(pid)
        return total


@contextmanager
def running(server: Server, database: Path, body: Path) -> Iterator[Running]:
    """Yield the server once it has answered 200, and end it with all that it has started."""
    port = free_port()
    settings = {
        "FLASK_DATABASE": str(database),
        "FLASK_TOKENS_FILE": str(demo.TOKENS_FILE),
        "BENCH_BODY": str(body),
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    command = [sys.executable, "-m", *server.command.split(), "--port", str(port)]
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=server.cwd,
            env=others | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while (status := status_of(port, url(0))) != 200:
                late = time.perf_counter() - start > DEADLINE
                if late or status is not None or process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"{server.name}: {status}\n{log.read()}")
                time.sleep(0.002)
            yield Running(port, process.pid, time.perf_counter() - start)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(DEADLINE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def starts(database: Path, body: Path) -> str:
    """Compare the time that `flask run` takes to answer."""
    servers = [BARE, SERVICE]
    samples: dict[str, list[float]] = {server.name: [] for server in servers}
    with bar(6, "Starts") as numbers:
        for number in numbers:
            for server in servers:
                with running(server, database, body) as process:
                    if number:  # the first one compiles
                        samples[server.name].append(process.seconds)
    rows = [[name, f"{median(sample) * 1000:.0f}"] for name, sample in samples.items()]
    return table(
        "Start", "From `flask run` to the first 200; medians of 5.", ["server", "ms"], rows
    )


def load(
    wrk: str, server: Server, database: Path, body: Path, seconds: int
) -> tuple[float, float, int]:
    """Put a server of its own under load; return its requests/s, p99 in ms, and bytes of memory."""
    with running(server, database, body) as process:
        address = f"http://127.0.0.1:{process.port}{url(0)}"
        authorization = f"Authorization: {AUTHORIZED['Authorization']}"
        command = [wrk, "--threads=1", f"--connections={CONNECTIONS}", "--latency"]
        command += [f"--header={authorization}", address]
        for duration in (1, seconds):  # the first one warms up
            output = subprocess.run(
                [*command, f"--duration={duration}s"], check=True, capture_output=True, text=True
            ).stdout
        rate = re.search(r"Requests/sec: +([0-9.]+)", output)
        p99 = re.search(r" 99% +([0-9.]+)(us|ms|s)", output)
        if not rate or not p99 or re.search("Non-2xx|connect [1-9]|timeout [1-9]", output):
            raise RuntimeError(f"{server.name}:\n{output}")
        milliseconds = float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
        return float(rate[1]), milliseconds, process.resident()


def loads(database: Path, body: Path, seconds: int) -> str:
    """Compare servers under load, where wrk is installed."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return "## HTTP\n\nLeft out: there is no wrk.\n"
    samples: dict[str, list[tuple[float, float, int]]] = {server.name: [] for server in SERVERS}
    with bar(5, "HTTP") as numbers:
        for _ in numbers:
            for server in SERVERS:
                samples[server.name].append(load(wrk, server, database, body, seconds))
    rows = []
    for name, sample in samples.items():
        rate, p99, size = map(median, zip(*sample, strict=True))
        rows.append([name, f"{rate:,.0f}", f"{p99:.1f}", f"{size / 2**20:.0f}"])
    return table(
        "HTTP",
        f"wrk on the same machine asks for one job over {CONNECTIONS} connections, for {seconds} s "
        "a round; medians of 5 rounds. RSS is that of all processes of the server.",
        ["server", "requests/s", "p99, ms", "RSS, MiB"],
        rows,
    )


def machine() -> str:
    """Return what it ran on."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    cpu = model[1] if model else platform.machine()
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Fewer jobs, rounds and seconds.")
@click.option("--save", is_flag=True, help="Write benchmarks/RESULTS.md, too.")
def main(quick: bool, save: bool) -> None:
    """Measure, and print a table of each part."""
    logging.disable()
    counts = [1_000, 10_000] if quick else [1_000, 100_000, 1_000_000]
    count = counts[1]
    head = f"{datetime.now(UTC):%Y-%m-%d}{', --quick' if quick else ''}: {machine()}."
    sections = [f"# Benchmarks\n\n`python benchmarks/run.py --save`, {head}\n"]
    with tempfile.TemporaryDirectory() as folder:
        databases = {count: Path(folder, f"{count}.db") for count in counts}
        for each, path in databases.items():
            build(path, each)
        database = databases[count]
        body = Path(folder, "body.json")
        chunks, _, _ = run_wsgi_app(service(database), environ(0, **AUTHORIZED))
        body.write_bytes(b"".join(chunks))
        parts: list[Callable[[], str]] = [
            lambda: requests(database, count, 20 if quick else 200),
            lambda: overrides(database, 20 if quick else 200),
            lambda: sizes(databases),
            lambda: memory(database, count),
            lambda: starts(database, body),
            lambda: loads(database, body, 1 if quick else 2),
        ]
        for measure in parts:
            sections.append(measure())
            click.echo(sections[-1])
    if save:
        RESULTS.write_text("\n".join(sections), "utf-8")


if __name__ == "__main__":
    main()
