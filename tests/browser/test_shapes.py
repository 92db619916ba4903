"""Answers are what the OpenAPI document says, and the page's types are made of that document."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scripts.api_types import PAGE, types
from tests.processes import NodeProcess
from urbanos_edge.api import shapes
from urbanos_edge.query.history import Buckets, Readings


@pytest.mark.parametrize(
    ("address", "shape"),
    [
        ("/api/v1/status", shapes.NodeStatus),
        ("/api/v1/standard", shapes.Standard),
        ("/api/v1/standards", list[shapes.Standard]),
        ("/api/v1/sensors", shapes.SensorList),
        ("/api/v1/sensors/{id}", shapes.SensorDetail),
        ("/api/v1/sensors/{id}/history?resolution=raw", Readings),
        ("/api/v1/sensors/{id}/history?resolution=5m", Buckets),
        ("/api/v1/alerts", shapes.AlertList),
        ("/api/v1/grids/bounds?minLat=60.1&maxLat=60.2&minLng=24.9&maxLng=25", shapes.RowList),
        ("/tiles/readings.json", shapes.TileJson),
    ],
)
def test_an_answer_has_the_shape_that_is_told_of_it(
    demo: NodeProcess, address: str, shape: Any
) -> None:
    listed = demo.client.get("/api/v1/sensors?limit=1").json()["sensors"]
    answer = demo.client.get(address.replace("{id}", listed[0]["id"]))
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=shape)


def test_the_pages_types_are_those_of_the_document(demo: NodeProcess) -> None:
    document = demo.client.get("/schema/openapi.json").json()
    command = "run: .venv/bin/python -m scripts.api_types"
    assert (PAGE / "api-types.ts").read_text(encoding="utf-8") == types(document), command
