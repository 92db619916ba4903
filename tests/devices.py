"""What devices send, in the shapes that their firmware gives it; the values are made up."""

from __future__ import annotations

import gzip
import json
from typing import Any, Final


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def airrohr_fields(**fields: str) -> list[dict[str, str]]:
    """A unit's list of names and values; the firmware spells every value as text."""
    return [{"value_type": name, "value": value} for name, value in fields.items()]


AIRROHR: Final = _json(
    {
        "esp8266id": "12345",
        "software_version": "NRZ-2024-135",
        "sensordatavalues": airrohr_fields(
            SDS_P1="9.30",
            SDS_P2="4.10",
            BME280_temperature="21.40",
            BME280_pressure="98731.50",
            BME280_humidity="47.20",
            samples="5035000",
            min_micro="28",
            max_micro="20201",
            interval="145000",
            signal="-61",
        ),
    }
)
AIRROHR_HEADERS: Final = {
    "Content-Type": "application/json",
    "X-Sensor": "esp8266-12345",
    "X-MAC-ID": "esp8266-8caab5000001",
    "User-Agent": "NRZ-2024-135/12345/8caab5000001",
}
AIRROHR_WITH_GPS: Final = _json(
    {
        "esp8266id": "77",
        "software_version": "NRZ-2024-135",
        "sensordatavalues": airrohr_fields(
            PMS_P0="3.00",
            PMS_P1="8.50",
            PMS_P2="6.25",
            temperature="19.80",
            humidity="61.00",
            GPS_lat="60.171000",
            GPS_lon="24.941000",
            GPS_height="12.10",
            GPS_timestamp="2026-05-17T22:23:06.012",
        ),
    }
)
AIRROHR_DEAD_FAN: Final = _json(
    {
        "esp8266id": "12345",
        "software_version": "NRZ-2024-135",
        "sensordatavalues": airrohr_fields(SDS_P1="1999.90", SDS_P2="999.90"),
    }
)
AIRROHR_PPD42: Final = _json(
    {
        "esp8266id": "12345",
        "software_version": "NRZ-2018-111",
        "sensordatavalues": airrohr_fields(
            durP1="3512.00",
            ratioP1="1.17",
            P1="612.20",
            durP2="120.00",
            ratioP2="0.04",
            P2="62.00",
            temperature="18.00",
        ),
    }
)
PUSHED_PARTICLES: Final = _json(
    {
        "software_version": "NRZ-2024-135",
        "sensordatavalues": airrohr_fields(P1="9.30", P2="4.10"),
    }
)
PUSHED_WEATHER: Final = _json(
    {
        "software_version": "NRZ-2024-135",
        "sensordatavalues": airrohr_fields(
            temperature="21.40", pressure="98731.50", humidity="47.20"
        ),
    }
)
AIRROHR_LINE: Final = (
    b"feinstaub,node=esp8266-12345 SDS_P1=9.30,SDS_P2=4.10,BME280_pressure=98731.50,signal=-61\n"
)
AIRROHR_LINE_HEADERS: Final = {
    **AIRROHR_HEADERS,
    "Content-Type": "application/x-www-form-urlencoded",
}
AIRROHR_LINE_UNQUOTED: Final = (
    b"feinstaub,node=esp8266-77 SDS_P2=4.10,GPS_timestamp=1970-01-01T00:00:00.000,signal=-61\n"
)

AIRGRADIENT_PUSH: Final = _json(
    {
        "pm01": 3,
        "pm02": 7,
        "pm10": 8,
        "pm02Standard": 7,
        "pm003Count": 442,
        "atmp": 25.87,
        "rhum": 43,
        "rco2": 447,
        "tvocIndex": 100,
        "tvocRaw": 33051,
        "noxIndex": 1,
        "noxRaw": 16307,
        "boot": 6,
        "bootCount": 6,
        "wifi": -46,
        "firmware": "3.1.3",
    }
)
AIRGRADIENT_LOCAL: Final = _json(
    {
        "wifi": -46,
        "serialno": "ecda3b1eaaaf",
        "rco2": 447,
        "pm01": 3,
        "pm02": 7,
        "pm02Compensated": 5.2,
        "pm10": 8,
        "pm003Count": 442,
        "atmp": 25.87,
        "atmpCompensated": 24.47,
        "rhum": 43,
        "rhumCompensated": 49,
        "tvocIndex": 100,
        "tvocRaw": 33051,
        "noxIndex": 1,
        "noxRaw": 16307,
        "boot": 6,
        "bootCount": 6,
        "ledMode": "pm",
        "firmware": "3.1.3",
        "model": "I-9PSL",
    }
)
AIRGRADIENT_LOCAL_V1: Final = _json(
    {
        "serialNumber": "ecda3b1eaaaf",
        "model": "P-1",
        "firmware": "1.0.2",
        "boot": 6,
        "wifiRssi": -46,
        "co2": 447,
        "pm01": 3,
        "pm25": 7.5,
        "pm10": 8,
        "temperature": 25.87,
        "humidity": 43,
        "battPercent": 81,
    }
)
AIRGRADIENT_TWO_CHANNELS: Final = _json(
    {
        "pm02": 6.5,
        "channels": {
            "1": {"pm01": 3, "pm02": 6, "pm10": 8, "atmp": 20.0, "rhum": 50},
            "2": {"pm01": 4, "pm02": 7, "pm10": 9, "atmp": 21.0, "rhum": None},
        },
        "boot": 1,
        "wifi": -60,
    }
)
AIRGRADIENT_TORN: Final = _json(
    {
        "pm02": 20.0,
        "channels": {
            "1": {"pm01": 8, "pm02": 13, "pm10": 14, "atmp": 20.0, "rhum": 50},
            "2": {"pm01": 20, "pm02": 27, "pm10": 30, "atmp": 21.0, "rhum": 51},
        },
        "boot": 1,
        "wifi": -60,
    }
)
"""Its channels are 14 µg/m³ apart: 70 % of their mean."""
AIRGRADIENT_STARTING: Final = _json(
    {
        "wifi": -46,
        "serialno": "84fce612eff4",
        "pm02": 7,
        "rco2": None,
        "atmp": None,
        "rhum": "-",
        "ledMode": "rainbow",
        "model": "Z-99X",
        "firmware": None,
    }
)

PURPLEAIR: Final = _json(
    {
        "SensorId": "84:f3:eb:8:1:c2",
        "DateTime": "2026/05/17T22:23:06z",
        "Geo": "PurpleAir-1c2",
        "lat": 60.171,
        "lon": 24.941,
        "place": "outside",
        "version": "7.02",
        "rssi": -62,
        "current_temp_f": 80,
        "current_humidity": 14,
        "current_dewpoint_f": 28,
        "pressure": 933.9,
        "pm2.5_aqi": 50,
        "pm1_0_cf_1": 5.0,
        "pm2_5_cf_1": 12.0,
        "pm10_0_cf_1": 14.5,
        "pm2_5_atm": 11.0,
        "pm10_0_atm": 14.0,
        "p25aqic": "rgb(1,228,0)",
        "pm2.5_aqi_b": 54,
        "pm1_0_cf_1_b": 6.0,
        "pm2_5_cf_1_b": 13.0,
        "pm10_0_cf_1_b": 15.5,
        "pm2_5_atm_b": 12.0,
        "pm10_0_atm_b": 15.0,
    }
)

TASMOTA: Final = _json(
    {
        "Time": "2026-05-17T22:23:06",
        "BME280": {"Temperature": 23.4, "Humidity": 45.2, "DewPoint": 10.8, "Pressure": 988.1},
        "PMS5003": {
            **{"CF1": 5, "CF2.5": 9, "CF10": 10, "PM1": 4, "PM2.5": 7, "PM10": 8},
            **{"PB0.3": 813, "PB0.5": 224, "PB1": 39, "PB2.5": 4, "PB5": 1, "PB10": 0},
        },
        "ESP32": {"Temperature": 53.3},
        "PressureUnit": "hPa",
        "TempUnit": "C",
    }
)
TASMOTA_IN_OTHER_UNITS: Final = _json(
    {
        "Time": "2026-05-17T22:23:06+02:00",
        "SDS0X1": {"PM2.5": 4.5, "PM10": 6.7},
        "SCD30": {"CarbonDioxide": 746, "eCO2": 745, "Temperature": 77.0, "Humidity": 48.1},
        "BMP280": {"Temperature": 80.0, "Pressure": 29.0},
        "PressureUnit": "inHg",
        "TempUnit": "F",
    }
)
TASMOTA_PLUG: Final = _json(
    {"Time": "2026-05-17T22:23:06", "ENERGY": {"Total": 3.1, "Power": 84, "Voltage": 229}}
)
ZIGBEE: Final = _json(
    {
        "air_quality": "good",
        "battery": None,
        "co2": 612,
        "device_temperature": 31,
        "humidity": 41.3,
        "last_seen": "2026-05-17T22:23:06.500+02:00",
        "linkquality": 138,
        "pm25": 11,
        "temperature": 21.5,
        "update": {"state": "idle"},
    }
)

OBSERVATION: Final = _json(
    {
        "result": 49,
        "phenomenonTime": "2020-10-11T12:13:14+02:00",
        "Datastream": {"@iot.id": 999},
    }
)
OBSERVATION_IN_FULL: Final = _json(
    {
        "result": "12.5",
        "phenomenonTime": "2026-05-17T10:00:00Z/2026-05-17T11:00:00Z",
        "resultTime": None,
        "Datastream": {
            "@iot.id": "no2-roof",
            "name": "NO2 on the roof",
            "unitOfMeasurement": {"name": "ppb", "symbol": "ppb"},
            "ObservedProperty": {"name": "NO2"},
        },
        "FeatureOfInterest": {
            "encodingType": "application/geo+json",
            "feature": {"type": "Point", "coordinates": [24.941, 60.171]},
        },
    }
)

TELEGRAF: Final = b"""\
air,host=box-7,location=Main\\ Street,sensor_id=telegraf-1 pm25=12.5,pm10=20i 1779026400000000000
air,host=box-7,location=Main\\ Street,sensor_id=telegraf-1 temp=21.5,rh=40u 1779026400000000000
cpu,cpu=cpu-total,host=box-7,sensor_id=telegraf-1 usage_idle=97.3,n=4i 1779026400000000000
"""
"""A batch of Telegraf's: sorted tags, integers with a suffix, nanoseconds."""
TELEGRAF_PACKED: Final = gzip.compress(TELEGRAF)

JSON_DEVICES: Final = {
    "airrohr": AIRROHR,
    "airrohr with a GPS": AIRROHR_WITH_GPS,
    "airrohr with a PPD42": AIRROHR_PPD42,
    "pushed particles": PUSHED_PARTICLES,
    "pushed weather": PUSHED_WEATHER,
    "airgradient": AIRGRADIENT_PUSH,
    "airgradient's own page": AIRGRADIENT_LOCAL,
    "airgradient's own page, version 1": AIRGRADIENT_LOCAL_V1,
    "airgradient with two channels": AIRGRADIENT_TWO_CHANNELS,
    "airgradient at its start": AIRGRADIENT_STARTING,
    "purpleair": PURPLEAIR,
    "tasmota": TASMOTA,
    "tasmota in other units": TASMOTA_IN_OTHER_UNITS,
    "zigbee2mqtt": ZIGBEE,
    "observation": OBSERVATION,
    "observation in full": OBSERVATION_IN_FULL,
}
LINES: Final = {
    "airrohr": AIRROHR_LINE,
    "airrohr without quotes": AIRROHR_LINE_UNQUOTED,
    "telegraf": TELEGRAF,
}
