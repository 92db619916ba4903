"""`central serve` is replaced by a newer one without a pause."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.central.conftest import Centre
from tests.central.serving import CentralProcess, reader_of
from tests.processes import wait_until


def boot(url: str) -> str:
    """Which process answers a connection of its own."""
    answer = httpx.get(f"{url}/api/v1/status", timeout=30)
    assert answer.status_code == 200
    return str(answer.json()["boot"])


def test_a_new_process_takes_over_the_port_of_the_old_one(centre: Centre, tmp_path: Path) -> None:
    """The new one is named by its address in the log; from then on it can do alone."""
    old = CentralProcess(tmp_path / "old.log", reader_of(centre))
    former = boot(old.url)
    new = CentralProcess(tmp_path / "new.log", reader_of(centre), port=old.port)
    try:
        wait_until(lambda: "the centre is on" in new.log(), 10, new.log)
        assert old.stop() == 0
        boots = {boot(new.url) for _ in range(10)}
        assert (len(boots), former in boots) == (1, False)
    finally:
        assert new.stop() == 0
