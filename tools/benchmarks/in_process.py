"""What requests cost in process, through the WSGI callable: no server, no network."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import bare
import bare_token
import flask
from data import AUTHORIZED, DEMO_JOB_ID, resident, table, url
from flask_httpauth import HTTPTokenAuth
from werkzeug.test import create_environ, run_wsgi_app

from app import create_app
from web import framework

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

BLOCK = 50  # requests in a row: what ran before them has left the processor's caches
WARM = 10  # requests before a block, not timed


class Case(NamedTuple):
    """Requests of one kind, and the application that answers them with that status."""

    name: str
    app: "WSGIApplication"
    status: int
    environs: "Iterator[WSGIEnvironment]"
    context: Callable[[], AbstractContextManager[object]] = nullcontext  # in which it does so


def service(database: Path) -> flask.Flask:
    """Return this service."""
    return create_app({"DATABASE": str(database)})


def body_of(database: Path) -> bytes:
    """Return what this service sends of the first job."""
    chunks, _, _ = run_wsgi_app(service(database), create_environ(url(0), headers=AUTHORIZED))
    return b"".join(chunks)


def repeated(path: str, headers: Mapping[str, str] = AUTHORIZED) -> "Iterator[WSGIEnvironment]":
    """Yield the same request again and again: applications write into it."""
    environ = create_environ(path, headers=headers)
    while True:
        yield environ.copy()


def distinct(numbers: range) -> "Iterator[WSGIEnvironment]":
    """Yield a request of each job."""
    environ = create_environ(headers=AUTHORIZED)
    for path in map(url, numbers):
        yield environ | {"PATH_INFO": path, "REQUEST_URI": path, "RAW_URI": path}


def spread(count: int, rounds: int) -> "Iterator[WSGIEnvironment]":
    """Yield enough requests for `rounds`, of jobs from all parts of a database of `count`."""
    return distinct(range(1, count, count // (rounds * (WARM + BLOCK) + 1)))


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


def medians(cases: Sequence[Case], rounds: int) -> list[float]:
    """Answer BLOCK requests of each case in each round; return the medians in microseconds."""
    samples: list[list[float]] = [[] for _ in cases]
    for number in range(rounds):
        order = range(len(cases))
        for index in order if number % 2 else reversed(order):  # not always after the same one
            with cases[index].context():
                answer(cases[index], WARM)  # a class that has changed is slower at first
                samples[index].append(answer(cases[index], BLOCK))
    return [median(sample) / 1000 for sample in samples]


def compare(title: str, note: str, cases: Sequence[Case], rounds: int) -> str:
    """Return a table of the cases, beside the first of them."""
    results = medians(cases, rounds)
    return table(
        f"{title}, in process",
        f"{note} Medians of {rounds:,} rounds of {BLOCK} requests of each.",
        ["case", "µs", "of the first", "difference, µs"],
        [
            [case.name, f"{result:.1f}", f"{result / results[0]:.2f}", f"{result - results[0]:.1f}"]
            for case, result in zip(cases, results, strict=True)
        ],
    )


def requests(database: Path, count: int, demo_database: Path, rounds: int) -> str:
    """Compare kinds of requests, and other frameworks."""
    os.environ["FLASK_DATABASE"] = str(database)  # they read it when they are imported
    import with_apiflask
    import with_flask_smorest

    app, body = service(database), body_of(database)
    _, _, headers = run_wsgi_app(app, next(repeated(url(0))))
    unmodified = AUTHORIZED | {"If-None-Match": headers["ETag"]}
    forged = {"Authorization": "Bearer forged"}
    demo_url = url(DEMO_JOB_ID)
    cases = [
        Case("bare Flask", bare.make_app(body), 200, repeated(url(0))),
        Case("bare Flask, token", bare_token.make_app(body), 200, repeated(url(0))),
        Case("this service, 200, repeated", app, 200, repeated(url(0))),
        Case("this service, 304", app, 304, repeated(url(0), unmodified)),
        Case("this service, 401, no token", app, 401, repeated(url(0), {})),
        Case("this service, 401, unknown token", app, 401, repeated(url(0), forged)),
        Case("this service, 404", app, 404, repeated(url(-1))),
        Case("this service, 200, first read", service(database), 200, spread(count, rounds)),
        Case("this service, 200, the demo", service(demo_database), 200, repeated(demo_url)),
        Case("APIFlask, 200", with_apiflask.app, 200, repeated(url(0))),
        Case("flask-smorest, 200", with_flask_smorest.app, 200, repeated(url(0))),
    ]
    note = (
        f"Through the WSGI callable; the database has {count:,} jobs. The demo computes its job at "
        "each read. APIFlask and flask-smorest open the database for each request, as Flask's "
        "documentation does."
    )
    return compare("Requests", note, cases, rounds)


def plain_init(
    self: framework.Response, body: bytes, status: int, headers: list[tuple[str, str]]
) -> None:
    """Make a response as Flask does."""
    flask.Response.__init__(self, body, status, headers)


@contextmanager
def plain(kept: Sequence[str]) -> Iterator[None]:
    """Take away the overrides that are made in classes, but for those that are kept."""
    with ExitStack() as stack:
        if "Response" not in kept:
            send = flask.Response.__call__
            stack.enter_context(patch.object(framework.Response, "__init__", plain_init))
            stack.enter_context(patch.object(framework.Response, "__call__", send))
        if "ensure_sync" not in kept:
            ask = HTTPTokenAuth.ensure_sync
            stack.enter_context(patch.object(framework.BearerAuth, "ensure_sync", ask))
        yield


def overriding(database: Path, *kept: str) -> Case:
    """Return repeated reads by this service with only those overrides of the libraries."""
    app = service(database)
    if "create_url_adapter" not in kept:
        app.create_url_adapter = partial(flask.Flask.create_url_adapter, app)  # type: ignore[method-assign]
    return Case(f"with {' and '.join(kept)}", app, 200, repeated(url(0)), partial(plain, kept))


def overrides(database: Path, rounds: int) -> str:
    """See what each override in web/framework.py saves."""
    every = ("ensure_sync", "Response", "create_url_adapter")
    cases = [
        overriding(database)._replace(name="without any"),
        *[overriding(database, name) for name in every],
        overriding(database, *every)._replace(name="with all"),
    ]
    answers = set()
    for case in cases:
        with case.context():
            _, _, headers = run_wsgi_app(case.app, next(case.environs))
        del headers["X-Request-Id"]
        answers.add(frozenset((name.lower(), value) for name, value in headers))
    if len(answers) != 1:
        raise RuntimeError(f"not all send the same headers: {answers}")
    note = "A repeated read, with parts of web/framework.py. All send the same headers."
    return compare("Overrides", note, cases, rounds)


def sizes(databases: Mapping[int, Path]) -> str:
    """Compare databases of different sizes, given by how many jobs they have."""
    rounds = min(databases) // (WARM + BLOCK) - 1  # each first read is of another job
    cases = []
    for count, path in databases.items():
        size = len(path.read_bytes()) // 1_000_000  # now it is in the system's page cache
        name, app = f"{count:,} jobs, {size} MB", service(path)
        cases.append(Case(f"{name}, repeated", app, 200, repeated(url(0))))
        cases.append(Case(f"{name}, first read", app, 200, spread(count, rounds)))
    return compare("Size of the database", "The system has read the files.", cases, rounds)


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
