"""What a sensor measured over a span of time."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec.structs import astuple

from urbanos_edge.api.document import KEPT
from urbanos_edge.api.respond import JSON, cached, encoded
from urbanos_edge.api.shapes import told
from urbanos_edge.cache.answers import LONG_S
from urbanos_edge.clock import moment_us
from urbanos_edge.query.atlas import Atlas
from urbanos_edge.query.history import Buckets, Readings

From = Annotated[
    str | None,
    QueryParameter(name="from", description="RFC 3339 with a zone; 24 hours before `to`"),
]
To = Annotated[
    str | None,
    QueryParameter(name="to", description="RFC 3339 with a zone; now"),
]
Kind = Annotated[
    str | None,
    QueryParameter(
        name="resolution",
        description="raw, 5m, 1h or 1d; by the span: up to 6 hours, 3 days, 120 days, more",
    ),
]
Quantity = Annotated[
    str | None,
    QueryParameter(
        name="quantity", description="names joined by commas, aqi among them; all that occur"
    ),
]


def routes(atlas: Atlas) -> list[ControllerRouterHandler]:
    @get(
        "/api/v1/sensors/{sensor_id:str}/history",
        responses=told(Readings | Buckets) | KEPT,
        tags=["sensors"],
    )
    async def sensor_history(
        request: Request[Any, Any, Any],
        sensor_id: str,
        from_: From = None,
        to: To = None,
        resolution: Kind = None,
        quantity: Quantity = None,
    ) -> Response[bytes]:
        """Readings, or count, mean, lowest and highest per bucket, column by column."""
        asked = await atlas.asked(
            sensor_id,
            moment_us("from", from_),
            moment_us("to", to),
            resolution,
            None if quantity is None else quantity.split(","),
        )

        async def build() -> bytes:
            return await encoded(await atlas.history(asked))

        entry, hit = await atlas.cache.get(
            ("history", atlas.settings.time_zone, atlas.standard.grading, *astuple(asked)),
            atlas.settings.cache_ttl_historical_s,
            partial(atlas.history_revision, asked),
            build,
            lasting=atlas.is_settled(asked),
        )
        return await cached(request, entry, hit, JSON, LONG_S)

    return [sensor_history]
