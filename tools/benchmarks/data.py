"""What all measurements share: the databases, the requests' path and headers, the tables."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import demo
from store import JobStore

DEMO_JOB_ID = "11111111-1111-4111-8111-111111111111"
AUTHORIZED = {"Authorization": f"Bearer {demo.TOKEN}"}


def job_id(number: int) -> str:
    """Return the id of the job of that number: the same in every run, and in no order."""
    return str(uuid5(NAMESPACE_OID, str(number)))


def url(job: int | str) -> str:
    """Return the path of a job, given by its number or by its id."""
    return f"/api/actions/bulk/jobs/{job if isinstance(job, str) else job_id(job)}"


def make_databases(folder: Path, counts: Sequence[int]) -> tuple[Path, dict[int, Path]]:
    """Make the demo, and databases of so many jobs: its first one under other ids."""
    demo_database = folder / "demo.db"
    demo.make(demo_database)
    digest = hashlib.sha256(demo.TOKEN.encode()).hexdigest()
    _, job = JobStore(demo_database).get(digest, DEMO_JOB_ID)
    databases = {count: folder / f"{count}.db" for count in counts}
    for count, path in databases.items():
        store = JobStore(path)
        store.init()
        for start in range(0, count, 50_000):
            numbers = range(start, min(start + 50_000, count))
            store.put([(job_id(number), *(job or ())[1:]) for number in numbers])
        with store.adding_token("demo", digest, None):
            pass
    return demo_database, databases


def resident(pid: int) -> int:
    """Return the resident set of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def table(title: str, note: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a section of Markdown: the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {title}\n\n{note}\n\n{text}\n"
