"""What the service costs, beside other ways to serve the same job.

    python tools/benchmarks/run.py [--quick] [--save]

Linux only: memory is read from /proc. It needs wrk, which puts the servers under load.
"""

import logging
import os
import platform
import re
import shutil
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

sys.path.append(str(Path(__file__).parents[2]))

import in_process
import over_http
import plot
from data import make_databases

RESULTS = Path(__file__).with_name("RESULTS.md")
PLOT = Path(__file__).with_name("RESULTS.svg")
TITLE = "Requests a second over HTTP"


def machine() -> str:
    """Return what it runs on."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    cpu = model[1] if model else platform.machine()
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Fewer jobs and rounds.")
@click.option("--save", is_flag=True, help="Write RESULTS.md and RESULTS.svg, too.")
def main(quick: bool, save: bool) -> None:
    """Measure, and print a table of each part."""
    if not shutil.which("wrk"):
        raise click.ClickException("wrk is not installed: it puts the servers under load")
    logging.disable()
    counts = [1_000, 10_000] if quick else [1_000, 100_000, 1_000_000]
    count = counts[1]
    rounds, http_rounds = (20, 1) if quick else (200, 10)
    day = f"{datetime.now(UTC):%Y-%m-%d}{', --quick' if quick else ''}"
    sections = [
        f"# Benchmarks\n\n![{TITLE}: the first table has the figures.]({PLOT.name})\n",
        f"`make bench`, {day}: {machine()}.\n",
    ]

    def add(section: str) -> None:
        sections.append(section)
        click.echo(section)

    with tempfile.TemporaryDirectory() as folder:
        demo_database, databases = make_databases(Path(folder), counts)
        database, body = databases[count], Path(folder, "body.json")
        body.write_bytes(in_process.body_of(database))
        loads = over_http.loads(database, body, http_rounds)
        add(over_http.report(loads, http_rounds))
        add(in_process.requests(database, count, demo_database, rounds))
        add(in_process.overrides(database, rounds))
        add(in_process.sizes(databases))
        add(in_process.memory(database, count))
    if save:
        RESULTS.write_text("\n".join(sections), "utf-8")
        rates = {name: load.rate for name, load in loads.items()}
        PLOT.write_text(plot.requests_a_second(TITLE, rates), "utf-8")


if __name__ == "__main__":
    main()
