"""What the tests of the running node share: a token, and a place of one's own."""

from __future__ import annotations

import itertools

import pytest

from tests.http.sending import Spot, spot_number
from tests.processes import NodeProcess

_numbers = itertools.count()


@pytest.fixture(scope="module")
def gateway(server: NodeProcess) -> str:
    """A token that may write for any sensor."""
    return server.token()


@pytest.fixture
def spot() -> Spot:
    """A grid that no other test writes to."""
    return spot_number(next(_numbers))


@pytest.fixture
def other_spot() -> Spot:
    """A second grid that no other test writes to."""
    return spot_number(next(_numbers))
