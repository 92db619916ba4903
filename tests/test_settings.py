"""Defaults < file < environment < flags, and nothing unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.settings_page import page
from urbanos_edge.errors import SettingsError
from urbanos_edge.settings import Settings, load

ROOT = Path(__file__).parents[1]


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    config = tmp_path / "urbanos.toml"
    config.write_text('port = 1\nnode_name = "file"\nbatch_size = 5\n')
    environment = {"URBANOS_PORT": "2", "URBANOS_NODE_NAME": "environment", "OTHER": "x"}
    settings = load({"port": 3, "host": None}, config=config, environment=environment)
    assert (settings.port, settings.node_name, settings.batch_size) == (3, "environment", 5)
    assert settings.host == Settings().host


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"URBANOS_PROT": "1"}, "unknown setting 'prot'"),
        ({"URBANOS_PORT": "many"}, "port"),
        ({"URBANOS_PORT": "70000"}, "port"),
        ({"URBANOS_FLUSH_INTERVAL_S": "0"}, "flush_interval_s"),
        ({"URBANOS_REPORT_RATE_LIMIT": "10 an hour"}, "report_rate_limit"),
        ({"URBANOS_REPORT_RATE_LIMIT": "0/hour"}, "report_rate_limit"),
        ({"URBANOS_AQI_STANDARD": "astrology"}, "aqi_standard 'astrology' is unknown"),
        ({"URBANOS_TIME_ZONE": "Mars/Base"}, "time_zone 'Mars/Base' is unknown"),
        ({"URBANOS_FIELD_MAP": "dust=PM_fine"}, "field_map: 'dust' is neither a quantity"),
        ({"URBANOS_FIELD_MAP": "no2=N:ugm3"}, "field_map: no2 in ugm3 needs the temperature"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        load({}, environment=environment)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    config = tmp_path / "urbanos.toml"
    config.write_text("port: 1")
    with pytest.raises(SettingsError, match=r"urbanos\.toml"):
        load({}, config=config, environment={})


def test_what_tests_and_directories_need_is_no_setting() -> None:
    environment = {"URBANOS_DATA_DIR": "/x", "URBANOS_TEST_DATA": "/y"}
    assert load({}, environment=environment) == Settings()


def test_the_page_of_settings_is_the_table() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run: .venv/bin/python -m scripts.settings_page"
