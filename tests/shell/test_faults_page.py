"""docs/faults.md: each fault is brought about, and each command that helps is run as it stands."""

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from samples import JOB_ID, TOKEN, Patch, Plant, url
from serving import FLASK_RUN, HELD, PATH, ROOT, Server, serving, talk

PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| (.*?) \|.*\| (.*) \|$", PAGE, re.MULTILINE)[1:])
COMMAND = "`((?:cp|chmod|flask|mkdir|mv|rm|sqlite3|test|touch) .*?)`"
BEFORE, SAVED = "noc-oncall", "the backup"  # by whom the job is, in the database and its backup


def sql(statement: str) -> str:
    return f'sqlite3 jobs.db "{statement}"\n'


def commit(author: str) -> str:
    return sql(f"UPDATE bulk_action_jobs SET created_by = '{author}'")  # noqa: S608 (a constant)


RESTORE = "sqlite3 jobs.db '.restore backup.db'\n"
ROLLBACK_JOURNAL = """sqlite3 jobs.db '.backup new.db'
sqlite3 new.db 'PRAGMA journal_mode = DELETE' && mv new.db jobs.db
"""
KILLED_WRITER = """sqlite3 jobs.db 'PRAGMA cache_size = 1' BEGIN \\
"UPDATE bulk_action_jobs SET action_type = hex(zeroblob(100000))" '.shell kill -9 $PPID' || true"""
OTHER_PAGES = "sqlite3 backup.db 'PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM'\n"
UPPER_CASE = """ALTER TABLE bulk_action_jobs RENAME TO other; CREATE TABLE bulk_action_jobs
AS SELECT * FROM other; UPDATE bulk_action_jobs SET job_id = upper(job_id)"""
ALONE = "mkdir alone; ln jobs.db alone; cd alone\n"
READ_ONLY = "rm jobs.db-wal jobs.db-shm; chmod a-w ."
FAULTS = (  # how a row begins, the fault, what is answered during it, what after it
    ("the file is removed", "truncate -s 5000 jobs.db", "500", SAVED),
    ("the file is removed", "rm jobs.db*; mkdir jobs.db", "500", SAVED),
    ("a table is", sql("DROP TABLE tokens"), "500", "401"),
    ("a column is", sql("ALTER TABLE bulk_action_jobs DROP executed_at"), "500", BEFORE),
    ("a row breaks", commit("x', updated_at = '2026-02-30T08:00:00Z"), "500", "x"),
    ("an id is in", sql(UPPER_CASE), "404", BEFORE),
    ("the service may no longer read", "chmod 0 jobs.db", BEFORE, "500"),
    ("the folder or the", READ_ONLY, "500", BEFORE),
    ("a writer is killed", ROLLBACK_JOURNAL + KILLED_WRITER, "500", BEFORE),
    ("the file alone", ALONE + commit("new"), BEFORE, "new"),
    ("`jobs.db-wal` is", commit("lost") + "rm jobs.db-wal", BEFORE, SAVED),
    ("`jobs.db-shm` is cut", "truncate -s 0 jobs.db-shm", "nothing", BEFORE),
    ("another file", commit("old") + "cp backup.db n.db; mv n.db jobs.db", "old|500", SAVED),
    ("`.restore` of a file", "sqlite3 jobs.db '.restore typo.db'", "500", SAVED),
    ("`.restore` says", f"{OTHER_PAGES}! {RESTORE}", BEFORE, SAVED),
    ("a FIFO", "mv jobs.db away.db; mkfifo jobs.db", "nothing", BEFORE),
)
AROUND = {  # what must be done before and after the commands of a row
    "the folder or the": "chmod u+w .; HELP; chmod a-w .",
    "the file alone": "cd alone; HELP",
    "a FIFO": "mv away.db jobs.db; HELP",
}
BACK_UP = "sqlite3 jobs.db '.backup backup.db'\n"
REVOKED = f"flask tokens create laptop; {BACK_UP}flask tokens revoke laptop; {RESTORE}"
LARGE = sql("CREATE TABLE large AS SELECT hex(zeroblob(2000000))") + "test -s jobs.db-wal"
ROTTEN = f"{BACK_UP}sed -i s/{BEFORE}/bit--rot--/ jobs.db\n{sql('PRAGMA integrity_check')}"
BOTH = "for name in cp copy; do sqlite3 $name.db 'SELECT created_by FROM bulk_action_jobs'; done"
MODES = "sqlite3 data/jobs.db 'DELETE FROM tokens' '.shell stat -c %a data data/*'"
WHOSE = sql("SELECT created_by FROM bulk_action_jobs")
REPLACED = rf"laptop .* valid\nRevoked laptop\.\n{BEFORE}"
PRINTED = (  # how a row begins, the fault, a check of what helps, the end of what all print
    ("an old backup", REVOKED + commit("lost"), WHOSE, REPLACED),
    ("the token is lost", "flask tokens create laptop", "", r"Revoked laptop\.\n[\w-]{43}"),
    ("`cp` of a live", f"{commit('new')}cp jobs.db cp.db", BOTH, f"{BEFORE}\nnew"),
    ("bit rot", ROTTEN, sql("PRAGMA quick_check"), f"ok\n{JOB_ID}\nok"),
    ("a large import", LARGE, "stat -c %s jobs.db-wal", r"\n0"),
    ("another user may", "umask 077", MODES, "2775\n664\n664\n664"),
)


@pytest.fixture
def folder(database: Path, plant: Plant, monkeypatch: Patch) -> Path:
    """Return a folder with a database and its backup."""
    monkeypatch.setenv("FLASK_APP", str(ROOT / "app.py"))
    monkeypatch.setenv("FLASK_DATABASE", "jobs.db")
    monkeypatch.setenv("PATH", PATH)
    shutil.copy(ROOT / "schema.sql", database.parent)
    plant(created_by=SAVED)
    shutil.copy(database, database.with_name("backup.db"))  # nobody has it open: it has no -wal
    plant(created_by=BEFORE)
    return database.parent


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """Yield a server that may do no more than the modes of files allow, root or not."""
    with serving(*HELD, *FLASK_RUN, cwd=folder) as server:
        assert ask(server) == BEFORE
        yield server
    folder.chmod(0o700)


def ask(server: Server) -> str:
    """Return by whom the job is, or the status if that is not 200."""
    request = f"GET {url()} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    answer = talk(server.port, request, 2).decode()[9:] or "nothing"
    author = re.findall('"created_by": "(.*?)"', answer)
    return author[0] if author else answer.split()[0]


def run(folder: Path, *commands: str) -> str:
    return subprocess.check_output(["bash", "-ec", "\n".join(commands)], cwd=folder, text=True)


def what_helps(begin: str) -> list[str]:
    """Return the commands of the row that begins so."""
    (what,) = (what for what in ROWS if what.startswith(begin))
    return re.findall(COMMAND, ROWS[what])


@pytest.mark.parametrize(("begin", "fault", "during", "after"), FAULTS)
def test_what_the_page_names_or_else_a_restart_ends_a_fault(
    folder: Path, server: Server, begin: str, fault: str, during: str, after: str
) -> None:
    helps = "\n".join(what_helps(begin))
    run(folder, fault)
    assert re.fullmatch(during, ask(server))
    run(folder, AROUND.get(begin, "HELP").replace("HELP", helps))
    if helps:
        assert ask(server) == after
    else:
        assert ask(server) == during
        with serving(*FLASK_RUN, cwd=folder) as another:
            assert ask(another) == after


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("begin", "fault", "check", "printed"), PRINTED)
def test_what_the_page_names_helps(
    folder: Path, begin: str, fault: str, check: str, printed: str
) -> None:
    output = run(folder, fault, *what_helps(begin), check)
    assert re.search(rf"{printed}\n\Z", output, re.DOTALL)


def test_a_lock_is_waited_for_a_second_but_not_in_wal_mode(folder: Path, server: Server) -> None:
    (use_wal,) = what_helps("another program locks")
    for command, answer in ((ROLLBACK_JOURNAL, "500"), (use_wal, BEFORE)):
        run(folder, command)
        with closing(sqlite3.connect(folder / "jobs.db")) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            assert ask(server) == answer


def test_a_removed_shm_heals_when_both_start_again(folder: Path, server: Server) -> None:
    assert what_helps("`jobs.db-shm` is removed") == []
    with closing(sqlite3.connect(folder / "jobs.db", isolation_level=None)) as writer:
        for author, seen in (("1", "1"), ("2", "1"), ("3", "2")):
            writer.execute("UPDATE bulk_action_jobs SET created_by = ?", author)
            assert ask(server) == seen
            run(folder, "rm jobs.db-shm" if author == "1" else "", "touch jobs.db")
            assert ask(server) == author
        server.process.terminate()
        server.process.wait()
    with serving(*FLASK_RUN, cwd=folder) as another:
        assert ask(another) == "3"


def test_each_row_of_the_page_is_in_a_test() -> None:
    begins = re.findall(r'(?:what_helps\(| \()"(.*?)"', Path(__file__).read_text("utf-8"))
    assert [what for what in ROWS if not what.startswith(tuple(begins))] == []
