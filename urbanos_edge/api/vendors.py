"""The doors that sensors knock at by themselves: airRohr, AirGradient, SensorThings.

Each answers as its protocol has it. Devices retry little and wait less, so a message is read,
made durable and answered in one go.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.types import ControllerRouterHandler

from urbanos_edge.adapters import Candidate, Message, airgradient, airrohr, sensorthings
from urbanos_edge.api.arrival import arrival
from urbanos_edge.api.body import message_of
from urbanos_edge.api.document import JSON, MAY_SEND, described
from urbanos_edge.api.respond import json
from urbanos_edge.api.shapes import told
from urbanos_edge.clock import to_us
from urbanos_edge.errors import NotFound
from urbanos_edge.node import Node
from urbanos_edge.reading import reading_id

_MONITOR: Final = re.compile(r"airgradient:(\S+)", re.I)
_DATASTREAM: Final = re.compile(r"Datastreams\((.+)\)")
AnyRequest = Request[Any, Any, Any]

_TAKEN: Final = told(dict[str, bool])


class AirrohrValue(msgspec.Struct):
    """One value under its name in the firmware."""

    value_type: str
    value: str


class AirrohrMessage(msgspec.Struct):
    """What an airRohr unit sends; what else is in it is not read."""

    sensordatavalues: list[AirrohrValue]
    esp8266id: str | msgspec.UnsetType = msgspec.UNSET
    software_version: str | msgspec.UnsetType = msgspec.UNSET


def routes(node: Node) -> list[ControllerRouterHandler]:
    return [*_airrohr(node), *_airgradient(node), *_sensorthings(node)]


def _airrohr(node: Node) -> list[ControllerRouterHandler]:
    @post(
        "/data.php",
        status_code=200,
        responses=_TAKEN,
        operation_class=described({JSON: AirrohrMessage}),
        tags=["devices"],
        security=MAY_SEND,
    )
    async def own_api(request: AnyRequest) -> Response[bytes]:
        """What an airRohr unit sends to 'own API'."""
        sensor = request.headers.get("x-sensor", "")
        await _take(node, request, airrohr.SOURCE, lambda body: airrohr.read(body, sensor))
        return json({"success": True})

    @post(
        "/v1/push-sensor-data/",
        status_code=201,
        responses=told(dict[str, bool], 201),
        operation_class=described({JSON: AirrohrMessage}),
        tags=["devices"],
        security=MAY_SEND,
    )
    async def push(request: AnyRequest) -> Response[bytes]:
        """What is sent to sensor.community, chip by chip."""
        sensor, pin = request.headers.get("x-sensor", ""), request.headers.get("x-pin", "")
        await _take(
            node, request, airrohr.SOURCE, lambda body: airrohr.read_push(body, sensor, pin)
        )
        return json({"success": True}, 201)

    return [own_api, push]


def _airgradient(node: Node) -> list[ControllerRouterHandler]:
    @post(
        "/sensors/{monitor:str}/measures",
        status_code=200,
        responses=_TAKEN,
        operation_class=described({JSON: dict[str, Any]}),
        tags=["devices"],
        security=MAY_SEND,
    )
    async def measures(request: AnyRequest, monitor: str) -> Response[bytes]:
        """What an AirGradient monitor pushes; to its firmware only 200 and 429 are a success."""
        serial = _inside(_MONITOR, monitor)
        await _take(node, request, airgradient.SOURCE, lambda body: airgradient.read(body, serial))
        return json({"success": True})

    @get(
        "/sensors/{monitor:str}/one/config",
        sync_to_thread=False,
        responses=told(dict[str, Any]),
        tags=["devices"],
    )
    def config(monitor: str) -> Response[bytes]:
        """Nothing that a monitor should change about its settings."""
        _inside(_MONITOR, monitor)
        return json({})

    return [measures, config]


def _sensorthings(node: Node) -> list[ControllerRouterHandler]:
    async def create(request: AnyRequest, datastream: str) -> Response[bytes]:
        message = await _take(
            node,
            request,
            sensorthings.SOURCE,
            lambda body: sensorthings.read(body, node.field_map, datastream),
        )
        created = _observation_id(message)
        location = f"{request.base_url}v1.1/Observations('{created}')"
        answer = json({"@iot.id": created, "@iot.selfLink": location}, 201)
        answer.headers["Location"] = location
        return answer

    @post(
        "/v1.1/Observations",
        status_code=201,
        responses=told(dict[str, str], 201),
        operation_class=described({JSON: dict[str, Any]}),
        tags=["devices"],
        security=MAY_SEND,
    )
    async def observation(request: AnyRequest) -> Response[bytes]:
        """Create an observation that names its datastream."""
        return await create(request, "")

    @post(
        "/v1.1/{entity:str}/Observations",
        status_code=201,
        responses=told(dict[str, str], 201),
        operation_class=described({JSON: dict[str, Any]}),
        tags=["devices"],
        security=MAY_SEND,
    )
    async def observation_of(request: AnyRequest, entity: str) -> Response[bytes]:
        """Create an observation of `Datastreams(id)`."""
        return await create(request, _inside(_DATASTREAM, entity))

    return [observation, observation_of]


async def _take(
    node: Node, request: AnyRequest, protocol: str, read: Callable[[bytes], Message]
) -> Message:
    """Receive one message; what was refused of it is raised."""
    came = arrival(request.scope, protocol)
    message = await message_of(node, request, came, read)
    if message:
        receipt = await node.reception.receive(message, came)
        receipt.demand_all()
    return message


def _inside(pattern: re.Pattern[str], part: str) -> str:
    found = pattern.fullmatch(part)
    if found is None:
        raise NotFound("there is nothing at this address")
    return found[1]


def _observation_id(message: Message) -> str:
    """That of the reading where it can be told by now, else one of its own."""
    for candidate in message:
        if isinstance(candidate, Candidate) and candidate.sensor_id and candidate.timestamp:
            return reading_id(candidate.sensor_id, to_us(candidate.timestamp))
    return str(uuid.uuid4())
