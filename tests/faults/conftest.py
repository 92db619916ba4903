"""The faults' own rule: whoever is told to stop unmounts first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.disks import leaving_in_order


@pytest.fixture(autouse=True, scope="session")
def _leave_in_order() -> Iterator[None]:
    with leaving_in_order():
        yield
