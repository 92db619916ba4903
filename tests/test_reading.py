"""A reading's id follows from its identity, one at a time and side by side."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from urbanos_edge.reading import READING_NAMESPACE, reading_id, reading_ids

_IDENTITIES = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120),
        st.integers(-(2**62), 2**62),
    ),
    max_size=20,
)


@given(_IDENTITIES)
def test_many_ids_are_those_of_the_standard_library(identities: list[tuple[str, int]]) -> None:
    sensors, moments = [one[0] for one in identities], [one[1] for one in identities]
    expected = [str(uuid.uuid5(READING_NAMESPACE, f"{s}/{at}")) for s, at in identities]
    assert reading_ids(sensors, moments) == expected
    assert [reading_id(*one) for one in identities] == expected
