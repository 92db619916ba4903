"""A simulated sensor network in the middle of Helsinki, for demonstrations.

Everything follows from the seed, the sensor and the moment, so the same moment asked for twice
gives the same readings, and history equals what was live. Times are seconds since 1970 UTC and
places metres east and north of `_ORIGIN` inside; nothing here reads a clock or a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.reading import Reading

Column = npt.NDArray[Any]

SOURCE: Final = "simulated"
SLOT_S: Final = 5
"""Sensors report every `PERIOD_S`, each in a slot of its own: some sensor does in every slot."""
PERIOD_S: Final = 60
_BATCH_ROWS: Final = 2000
_LOCAL_OFFSET_S: Final = 2 * 3600
_DAY_S: Final = 86_400
_ORIGIN: Final = (60.1716, 24.9443)
_METRES_PER_DEGREE: Final = 111_320.0

_PM: Final = ("pm25", "pm10")
_CLIMATE: Final = ("temperature", "humidity", "pressure")
_AEROSOL: Final = ("pm1", *_PM, *_CLIMATE)
_GASES: Final = ("no2", "o3", "temperature", "humidity")
_STATION: Final = (*_PM, "o3", "no2", "so2", "co", *_CLIMATE)
_SIMULATED: Final = ("pm1", *_STATION)
"""What there is to measure, in the order of its noise: with one more all of it would be another."""
_KINDS: Final = (
    _STATION, _PM, _AEROSOL, _GASES, _PM, _AEROSOL, _PM, _GASES, _AEROSOL, _PM, _PM, _AEROSOL,
)  # fmt: skip
"""What sensor number n measures, in turn: most cities' networks are mostly cheap PM sensors."""
_DECIMALS: Final = {"co": 2}
_FAULTS: Final = {4: "stuck", 9: "spiking", 14: "offset", 17: "silent"}
_OFFSET_UGM3: Final = 30.0
_SATURATED_UGM3: Final = {"pm1": 999.9, "pm25": 999.9, "pm10": 1999.9}
_SPIKES_ABOVE: Final = 1.15
"""In standard deviations: one reading of eight."""
_BATTERY_S: Final = 4 * 3600
"""How long the silent sensor lasts from midnight UTC, when somebody changes its battery."""

_PLUME_EVERY_S: Final = 7200
_PLUME_LASTS_S: Final = 9600
_PLUME_RAMP_S: Final = 1200
_PLUME_RADIUS_M: Final = 180.0


class DemoSensor(msgspec.Struct, frozen=True):
    """A simulated sensor; `fault` is what is wrong with it: stuck, spiking, offset or silent."""

    id: str
    name: str
    lat: float
    lng: float
    quantities: tuple[str, ...]
    fault: str | None = None


class Fleet:
    """`size` sensors at real places, the first 60 at places of their own."""

    def __init__(self, seed: int = 1, size: int = 60) -> None:
        self._seed = seed
        self._air = _Air(np.random.default_rng(seed))
        self.sensors = [_sensor(number) for number in range(size)]
        lat0, lng0 = _ORIGIN
        self._north_m = np.array([s.lat - lat0 for s in self.sensors]) * _METRES_PER_DEGREE
        self._east_m = (
            np.array([s.lng - lng0 for s in self.sensors])
            * _METRES_PER_DEGREE
            * math.cos(math.radians(lat0))
        )
        self._traffic = np.array([_PLACES[n % len(_PLACES)][3] for n in range(size)])
        self._phase_s = np.arange(size) * 7 % (PERIOD_S // SLOT_S) * SLOT_S
        self._plume_sites = np.array(
            [n for n, s in enumerate(self.sensors) if "pm25" in s.quantities and s.fault is None]
        )

    def readings(self, at_us: int) -> list[Reading]:
        """What arrives in the slot that `at_us` lies in, timed at its start."""
        slot_s = at_us // 1_000_000 // SLOT_S * SLOT_S
        numbers = np.flatnonzero(self._phase_s == slot_s % PERIOD_S)
        return self._measure(numbers, np.full(len(numbers), slot_s))

    def history(self, start_us: int, end_us: int, step_s: int) -> Iterator[list[Reading]]:
        """What every sensor reported once in each step from `start_us` until before `end_us`.

        `step_s` is a multiple of `PERIOD_S`, so that these are moments at which it would have
        reported live. A batch holds about 2,000 readings.
        """
        size = len(self.sensors)
        start_s, end_s = -(-start_us // 1_000_000), -(-end_us // 1_000_000)
        first = start_s // PERIOD_S * PERIOD_S
        steps = np.arange(first, end_s, step_s)
        per_batch = max(1, _BATCH_ROWS // size)
        for begin in range(0, len(steps), per_batch):
            chosen = steps[begin : begin + per_batch]
            seconds = (chosen[:, None] + self._phase_s).ravel()
            numbers = np.tile(np.arange(size), len(chosen))
            inside = (seconds >= start_s) & (seconds < end_s)
            yield self._measure(numbers[inside], seconds[inside])

    def wind(self, at_us: int) -> tuple[float, float]:
        """How the air drifts through the streets, in m/s towards the east and the north."""
        return self._air.wind(at_us / 1e6)

    def _measure(self, numbers: Column, seconds: Column) -> list[Reading]:
        """Readings of these sensors at these moments, both of shape (n,)."""
        if not len(numbers):
            return []
        noise = self._noise(numbers, seconds)
        truth = self._truth(numbers, seconds)
        columns = {
            name: _sensed(name, truth[name], noise[:, index])
            for index, name in enumerate(_SIMULATED)
        }
        self._break(columns, numbers, noise[:, -1])
        rows = zip(*(columns[name].tolist() for name in _SIMULATED), strict=True)
        return [
            self._reading(number, second, dict(zip(_SIMULATED, row, strict=True)))
            for number, second, row in zip(numbers.tolist(), seconds.tolist(), rows, strict=True)
            if self.sensors[number].fault != "silent" or second % _DAY_S < _BATTERY_S
        ]

    def _reading(self, number: int, second: int, values: dict[str, float]) -> Reading:
        sensor = self.sensors[number]
        return Reading(
            sensor_id=sensor.id,
            timestamp_us=second * 1_000_000,
            received_us=second * 1_000_000,
            lat=sensor.lat,
            lng=sensor.lng,
            values={name: values[name] for name in sensor.quantities},
            source=SOURCE,
        )

    def _noise(self, numbers: Column, seconds: Column) -> Column:
        """Standard normal, of shape (n, quantities + 1), the same for a sensor's same minute."""
        minutes, places = np.unique(seconds // PERIOD_S, return_inverse=True)
        shape = (len(self.sensors), len(_SIMULATED) + 1)
        drawn = np.stack(
            [np.random.default_rng([self._seed, minute]).normal(size=shape) for minute in minutes]
        )
        return drawn[places, numbers]

    def _truth(self, numbers: Column, seconds: Column) -> dict[str, Column]:
        """What is in the air, by quantity, in its own unit.

        Nitrogen dioxide follows the traffic and eats ozone; fine dust is a regional background,
        traffic and evening stoves, stirred by the wind, and a plume that is somewhere at any time.
        """
        hour = (seconds + _LOCAL_OFFSET_S) % _DAY_S / 3600
        eddies = self._air.at(seconds, self._east_m[numbers], self._north_m[numbers])
        traffic = _traffic(seconds) * self._traffic[numbers]
        plume = self._plume(numbers, seconds)
        background = 4 + 1.2 * _wave(seconds, 5.3) + 0.6 * _wave(seconds, 2.1)
        pm25 = (background + 4 * traffic + 1.5 * _bump(hour, 20.5, 2)) * np.exp(0.3 * eddies)
        no2 = (5 + 38 * traffic) * np.exp(0.3 * eddies)
        temperature = _temperature(seconds)
        return {
            "pm1": 0.75 * pm25 + 0.6 * plume,
            "pm25": pm25 + plume,
            "pm10": 1.3 * pm25 + 2 + 16 * traffic + 1.2 * plume,
            "o3": np.maximum(38 + 12 * _bump(hour, 14, 3) - 0.8 * no2, 1),
            "no2": no2,
            "so2": 1.2 + 0.5 * _wave(seconds, 1.7) + 0.02 * plume,
            "co": 0.18 + 0.5 * traffic + 0.01 * plume,
            "temperature": temperature,
            "humidity": np.clip(82 - 2.5 * (temperature - _season(seconds)), 20, 100),
            "pressure": 1012 + 9 * _wave(seconds, 6.7) + 4 * _wave(seconds, 2.9),
        }

    def _plume(self, numbers: Column, seconds: Column) -> Column:
        """Smoke or dust of one of the plumes: 64-84 µg/m³ of PM2.5 where it rises.

        A new one starts before the old one ends, at a sensor that works, so that the map always
        shows all categories up to 'Unhealthy'.
        """
        strongest = np.zeros(len(numbers))
        for age in (0, 1):
            plume = seconds // _PLUME_EVERY_S - age
            since_s = seconds - plume * _PLUME_EVERY_S
            strength = _ramp(since_s) * _ramp(_PLUME_LASTS_S - since_s)
            site = self._plume_sites[_scatter(plume, self._seed) % len(self._plume_sites)]
            distance_m = np.hypot(
                self._east_m[numbers] - self._east_m[site],
                self._north_m[numbers] - self._north_m[site],
            )
            peak = 64 + _scatter(plume, self._seed + 1) % 21
            here = peak * strength * np.exp(-0.5 * (distance_m / _PLUME_RADIUS_M) ** 2)
            strongest = np.maximum(strongest, here)
        return strongest

    def _break(self, columns: dict[str, Column], numbers: Column, chance: Column) -> None:
        """Make the faulty sensors report what faulty sensors do."""
        faults = np.array([sensor.fault or "" for sensor in self.sensors])[numbers]
        for name, values in columns.items():
            values[faults == "stuck"] = _STUCK_AT[name]
        for name, saturated in _SATURATED_UGM3.items():
            columns[name][(faults == "spiking") & (chance > _SPIKES_ABOVE)] = saturated
        for name in _SATURATED_UGM3:
            offset = np.round(columns[name] + _OFFSET_UGM3, 1)
            columns[name] = np.where(faults == "offset", offset, columns[name])


class _Air:
    """A smooth random field of waves, about normal, that drifts with a wind that turns."""

    _WAVES: Final = 48

    def __init__(self, random: np.random.Generator) -> None:
        length_m = random.uniform(800, 2400, self._WAVES)
        heading = random.uniform(0, 2 * np.pi, self._WAVES)
        self._east = 2 * np.pi / length_m * np.cos(heading)
        self._north = 2 * np.pi / length_m * np.sin(heading)
        self._phase = random.uniform(0, 2 * np.pi, self._WAVES)
        mean_heading = random.uniform(0, 2 * np.pi)
        self._mean_ms = 0.6 * np.array([np.cos(mean_heading), np.sin(mean_heading)])
        self._turn_ms = random.uniform(0.1, 0.25, (2, 3))
        self._turn_rate = 2 * np.pi / random.uniform(8 * 3600, 40 * 3600, (2, 3))
        self._turn_phase = random.uniform(0, 2 * np.pi, (2, 3))

    def wind(self, second: float) -> tuple[float, float]:
        angle = self._turn_rate * second + self._turn_phase
        east, north = self._mean_ms + (self._turn_ms * np.cos(angle)).sum(axis=1)
        return float(east), float(north)

    def at(self, seconds: Column, east_m: Column, north_m: Column) -> Column:
        """The field at these moments and places, all of shape (n,)."""
        moved_east, moved_north = (self._moved(axis, seconds) for axis in (0, 1))
        angle = (
            np.outer(east_m - moved_east, self._east)
            + np.outer(north_m - moved_north, self._north)
            + self._phase
        )
        field: Column = np.cos(angle).sum(axis=1) * math.sqrt(2 / self._WAVES)
        return field

    def _moved(self, axis: int, seconds: Column) -> Column:
        """The integral of the wind."""
        rate = self._turn_rate[axis]
        angle = np.outer(seconds, rate) + self._turn_phase[axis]
        moved: Column = self._mean_ms[axis] * seconds + np.sin(angle) @ (self._turn_ms[axis] / rate)
        return moved


def _traffic(seconds: Column) -> Column:
    """How busy the streets are, from 0 to about 1: two peaks on working days, one on others."""
    local_s = seconds + _LOCAL_OFFSET_S
    hour = local_s % _DAY_S / 3600
    weekday = (local_s // _DAY_S + 3) % 7  # 1970 began on a Thursday
    working = _bump(hour, 8, 1.2) + 0.9 * _bump(hour, 16.5, 1.5) + 0.35 * _bump(hour, 12.5, 3)
    return np.where(weekday < 5, working, 0.4 * _bump(hour, 14, 3.5))


def _temperature(seconds: Column) -> Column:
    hour = (seconds + _LOCAL_OFFSET_S) % _DAY_S / 3600
    daily = 3.5 * np.cos(2 * np.pi * (hour - 15) / 24)
    temperature: Column = _season(seconds) + daily + 2 * _wave(seconds, 4.1)
    return temperature


def _season(seconds: Column) -> Column:
    """The mean temperature of the time of year, in °C: coldest about 1 February."""
    season: Column = 6 - 11 * np.cos(2 * np.pi * (seconds / _DAY_S - 31) / 365.25)
    return season


def _wave(seconds: Column, period_days: float) -> Column:
    wave: Column = np.sin(2 * np.pi * seconds / (_DAY_S * period_days))
    return wave


def _bump(hour: Column, centre: float, width: float) -> Column:
    bump: Column = np.exp(-0.5 * ((hour - centre) / width) ** 2)
    return bump


def _ramp(since_s: Column) -> Column:
    """From 0 to 1 within `_PLUME_RAMP_S`, smoothly."""
    part = np.clip(since_s / _PLUME_RAMP_S, 0, 1)
    ramp: Column = part * part * (3 - 2 * part)
    return ramp


def _scatter(numbers: Column, salt: int) -> Column:
    """A large number for each number, without pattern."""
    mixed = (numbers.astype(np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
    scattered: Column = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(8)
    return scattered


def _sensed(name: str, truth: Column, noise: Column) -> Column:
    """What a sensor makes of it: noise, no negative concentrations, few decimals."""
    spread, relative = _NOISE[name]
    sensed = truth + noise * (spread + relative * np.abs(truth))
    if name != "temperature":
        sensed = np.clip(sensed, 0, 100 if name == "humidity" else None)
    rounded: Column = np.round(sensed, _DECIMALS.get(name, 1))
    return rounded


def _sensor(number: int) -> DemoSensor:
    name, lat, lng, _ = _PLACES[number % len(_PLACES)]
    turn = number // len(_PLACES)
    if turn:  # the places are used up: others near them
        name = f"{name} {turn + 1}"
        lat += 0.0003 * math.sin(turn)
        lng += 0.0006 * math.cos(turn)
    slug = name.lower().translate(_ASCII)
    return DemoSensor(
        id=f"demo-{slug}",
        name=name,
        lat=round(lat, 5),
        lng=round(lng, 5),
        quantities=_KINDS[number % len(_KINDS)],
        fault=_FAULTS.get(number),
    )


_ASCII: Final = str.maketrans({"ä": "a", "ö": "o", " ": "-"})
_NOISE: Final = {
    "pm1": (0.2, 0.04),
    "pm25": (0.2, 0.04),
    "pm10": (0.5, 0.06),
    "o3": (0.6, 0.02),
    "no2": (0.6, 0.03),
    "so2": (0.3, 0.02),
    "co": (0.02, 0.02),
    "temperature": (0.15, 0.0),
    "humidity": (0.8, 0.0),
    "pressure": (0.1, 0.0),
}
"""Standard deviation of a sensor's noise: a fixed part in the quantity's unit, and a share."""
_STUCK_AT: Final = {
    "pm1": 6.2,
    "pm25": 8.3,
    "pm10": 12.7,
    "o3": 30.0,
    "no2": 12.0,
    "so2": 1.0,
    "co": 0.2,
    "temperature": 4.0,
    "humidity": 80.0,
    "pressure": 1010.0,
}

_PLACES: Final = (
    ("Rautatientori", 60.1712, 24.9440, 0.7),
    ("Mannerheimintie", 60.1686, 24.9408, 1.0),
    ("Kaisaniemen puisto", 60.1747, 24.9446, 0.2),
    ("Senaatintori", 60.1695, 24.9523, 0.4),
    ("Kasarmikatu", 60.1662, 24.9478, 0.6),
    ("Hakaniemenranta", 60.1783, 24.9511, 0.9),
    ("Narinkkatori", 60.1695, 24.9358, 0.4),
    ("Kaivokatu", 60.1703, 24.9425, 1.0),
    ("Töölönlahden puisto", 60.1762, 24.9374, 0.2),
    ("Vilhonkatu", 60.1720, 24.9456, 0.6),
    ("Kauppatori", 60.1676, 24.9526, 0.6),
    ("Unioninkatu", 60.1690, 24.9506, 0.8),
    ("Esplanadin puisto", 60.1674, 24.9484, 0.4),
    ("Pitkäsilta", 60.1768, 24.9497, 0.9),
    ("Postikatu", 60.1709, 24.9380, 0.6),
    ("Bulevardi", 60.1655, 24.9398, 0.7),
    ("Aleksanterinkatu", 60.1691, 24.9489, 0.5),
    ("Fredrikinkatu", 60.1653, 24.9358, 0.6),
    ("Siltasaarenkatu", 60.1780, 24.9500, 0.9),
    ("Erottaja", 60.1664, 24.9433, 0.9),
    ("Vanha kirkkopuisto", 60.1661, 24.9394, 0.3),
    ("Liisankatu", 60.1741, 24.9516, 0.6),
    ("Simonkatu", 60.1697, 24.9380, 0.7),
    ("Pohjoisesplanadi", 60.1679, 24.9466, 0.9),
    ("Kaisaniemenkatu", 60.1726, 24.9481, 0.8),
    ("Kasarmitori", 60.1652, 24.9487, 0.4),
    ("Elielinaukio", 60.1716, 24.9391, 0.7),
    ("Yliopistonkatu", 60.1699, 24.9485, 0.5),
    ("Eteläranta", 60.1657, 24.9523, 0.8),
    ("Kasvitieteellinen puutarha", 60.1757, 24.9465, 0.2),
    ("Lönnrotinkatu", 60.1670, 24.9411, 0.8),
    ("Asema-aukio", 60.1708, 24.9396, 0.7),
    ("Korkeavuorenkatu", 60.1655, 24.9463, 0.6),
    ("Snellmaninkatu", 60.1723, 24.9529, 0.5),
    ("Keskuskatu", 60.1697, 24.9429, 0.5),
    ("Alvar Aallon katu", 60.1757, 24.9384, 0.3),
    ("Fabianinkatu", 60.1680, 24.9494, 0.6),
    ("Kalevankatu", 60.1675, 24.9385, 0.6),
    ("Mikonkatu", 60.1702, 24.9451, 0.5),
    ("Siltavuorenpenger", 60.1753, 24.9518, 0.4),
    ("Uudenmaankatu", 60.1650, 24.9416, 0.6),
    ("Paasikivenaukio", 60.1711, 24.9359, 0.9),
    ("Kluuvikatu", 60.1687, 24.9474, 0.5),
    ("Töölönlahdenkatu", 60.1738, 24.9388, 0.5),
    ("Eteläesplanadi", 60.1670, 24.9456, 0.9),
    ("Kirkkokatu", 60.1708, 24.9508, 0.5),
    ("Eerikinkatu", 60.1678, 24.9367, 0.6),
    ("Kaisaniemenranta", 60.1763, 24.9447, 0.5),
    ("Ylioppilasaukio", 60.1693, 24.9408, 0.6),
    ("Pohjoinen Makasiinikatu", 60.1656, 24.9500, 0.5),
    ("Vuorikatu", 60.1718, 24.9474, 0.5),
    ("Annankatu", 60.1662, 24.9378, 0.7),
    ("Hallituskatu", 60.1700, 24.9513, 0.4),
    ("Kolmikulma", 60.1649, 24.9436, 0.6),
    ("Mannerheiminaukio", 60.1718, 24.9368, 0.7),
    ("Ludviginkatu", 60.1659, 24.9452, 0.5),
    ("Varsapuistikko", 60.1736, 24.9501, 0.4),
    ("Yrjönkatu", 60.1673, 24.9399, 0.6),
    ("Erottajankatu", 60.1655, 24.9440, 0.7),
    ("Siltavuorenranta", 60.1762, 24.9513, 0.5),
)
"""Name, latitude and longitude in degrees, set by hand, and how near the traffic is (0 to 1)."""
