"""What others publish about the air, in the shapes that they give it; the values are made up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def measurement(
    number: int,
    at: str,
    chip: str = "SDS011",
    *,
    indoor: int = 0,
    **values: str,
) -> dict[str, Any]:
    """One entry of sensor.community's lists: numbers as text, the time in UTC without a zone."""
    return {
        "id": 31000000000 + number,
        "sampling_rate": None,
        "timestamp": at,
        "location": {
            "id": 5000 + number,
            "latitude": "60.171",
            "longitude": f"24.9{number}",
            "altitude": "12.1",
            "country": "FI",
            "exact_location": 0,
            "indoor": indoor,
        },
        "sensor": {
            "id": number,
            "pin": "1",
            "sensor_type": {"id": 14, "name": chip, "manufacturer": "made up"},
        },
        "sensordatavalues": [
            {"id": 71000000000 + index, "value": value, "value_type": name}
            for index, (name, value) in enumerate(values.items())
        ],
    }


SENSOR_COMMUNITY: Final = _json(
    [
        measurement(41, "2026-11-23 10:00:00", P1="9.30", P2="4.10"),
        measurement(
            42,
            "2026-11-23 10:00:02",
            "BME280",
            temperature="-2.50",
            pressure="98731.50",
            humidity="81.00",
            pressure_at_sealevel="99020.11",
        ),
        measurement(43, "2026-11-23 10:00:03", indoor=1, P1="1.00", P2="1.00"),
        measurement(44, "2026-11-23 10:00:04", "DNMS (Laerm)", noise_LAeq="48.20"),
        measurement(45, "2026-11-23 10:00:05", "PPD42NS", P1="612.00", P2="62.00"),
    ]
)


def _sensor(number: int, name: str, units: str) -> dict[str, Any]:
    parameter = {"id": number % 100, "name": name, "units": units, "displayName": name}
    return {"id": number, "name": f"{name} {units}", "parameter": parameter}


def _moment(utc: str) -> dict[str, str]:
    return {"utc": utc, "local": utc.replace("Z", "+00:00")}


def openaq(results: list[Any]) -> bytes:
    """An answer of OpenAQ's third version."""
    meta = {"name": "openaq-api", "website": "/", "page": 1, "limit": 1000, "found": len(results)}
    return _json({"meta": meta, "results": results})


def location(number: int, heard: str | None = "2026-11-23T10:00:00Z") -> dict[str, Any]:
    """A location with a sensor each for PM2.5 (by mass), NO₂ (by mass), O₃ (ppm) and humidity."""
    sensors = (("pm25", "µg/m³"), ("no2", "µg/m³"), ("o3", "ppm"), ("relativehumidity", "%"))
    return {
        "id": number,
        "name": f"Station {number}",
        "locality": None,
        "timezone": "Europe/Helsinki",
        "country": {"id": 1, "code": "FI", "name": "Finland"},
        "isMobile": False,
        "isMonitor": True,
        "instruments": [{"id": 2, "name": "Government Monitor"}],
        "sensors": [_sensor(number * 10 + i, *each) for i, each in enumerate(sensors)],
        "coordinates": {"latitude": 60.17, "longitude": 24.94},
        "bounds": [24.94, 60.17, 24.94, 60.17],
        "distance": None,
        "datetimeFirst": _moment("2016-01-30T00:00:00Z"),
        "datetimeLast": heard and _moment(heard),
    }


def latest(number: int, index: int, value: float | None, at: str) -> dict[str, Any]:
    """The last value of one sensor of a location."""
    return {
        "datetime": _moment(at),
        "value": value,
        "coordinates": {"latitude": 60.171, "longitude": 24.941},
        "sensorsId": number * 10 + index,
        "locationsId": number,
    }


OPENAQ_LOCATIONS: Final = openaq([location(7), location(8, None), location(9, "2019-05-01T00:00Z")])
OPENAQ_LATEST: Final = openaq(
    [
        latest(7, 0, 12.5, "2026-11-23T10:00:00Z"),
        latest(7, 1, 46.01, "2026-11-23T10:00:00Z"),
        latest(7, 2, 0.031, "2026-11-23T09:00:00Z"),
        latest(7, 3, 81, "2016-04-01T00:00:00Z"),
        latest(7, 9, 1, "2026-11-23T10:00:00Z"),
    ]
)

FEATURES: Final = _json(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [24.941, 60.171]},
                "properties": {
                    "station": "harbour",
                    "measured": "23.11.2026 12:00",
                    "dust": {"PM2.5": 12.5, "PM10": "20.1"},
                    "NO2": None,
                },
            },
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [24.951, 60.161]},
                "properties": {"station": "park", "measured": "soon", "dust": {"PM2.5": 3}},
            },
        ],
    }
)
TABLE: Final = (
    "\ufeffStation;Zeit;lat;lon;PM10;NO2 µg/m³;Feuchte\r\n"
    "Mitte;2026-11-23 10:00;60,171;24,941;20,1;46,01;81\r\n"
    "Nord;2026-11-23 10:00;60,181;24,951;;;\r\n"
).encode()

PUBLISHED: Final = {
    "sensor.community": SENSOR_COMMUNITY,
    "locations of OpenAQ": OPENAQ_LOCATIONS,
    "latest of OpenAQ": OPENAQ_LATEST,
    "features": FEATURES,
    "a table": TABLE,
}
SINCE: Final = datetime(2026, 11, 22, tzinfo=UTC)
