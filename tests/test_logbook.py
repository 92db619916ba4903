"""Lines of the log: their form, the request they belong to, and what is never in them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from urbanos_edge.feeds import Feed
from urbanos_edge.logbook import KEPT_LINES, Formatter, Memory, begin_request, current_request
from urbanos_edge.secrecy import SECRET, Veil, shown
from urbanos_edge.settings import Settings

SECRET_SETTINGS = Settings(
    alert_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    alert_webhook_url="https://hooks.example/T0/B0/averysecretpath",
    alert_mqtt_url="mqtts://alerts:hunter22@broker.example",
    mqtt_url="mqtts://reader:correct-horse@broker.example:8883",
    sync_dsn="postgresql://edge:battery-staple@centre.example/air",
    cdn_purge_url="https://cdn.example/purge?key=0123456789abcdef",
    pull=(Feed(kind="json", url="https://a.example/x?token=tok-123456789", key="feed-key-77"),),
)
SECRETS = (
    *("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "/T0/B0/averysecretpath", "hunter22", "correct-horse"),
    *("battery-staple", "0123456789abcdef", "tok-123456789", "feed-key-77"),
)


@pytest.fixture
def memory() -> Iterator[Memory]:
    """What a logger wrote down as JSON."""
    handler = Memory(Formatter(Veil(SECRET_SETTINGS), "json"))
    logger = logging.getLogger("test.logbook")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)


def say(text: str, *arguments: object) -> None:
    logging.getLogger("test.logbook").info(text, *arguments)


def test_a_line_is_one_object_with_the_moment_in_utc(memory: Memory) -> None:
    say("two\nlines of %s", "text")
    (line,) = memory.lines
    assert "\n" not in line
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found.pop("at"))
    assert found == {"level": "info", "logger": "test.logbook", "message": "two\nlines of text"}


def test_what_is_said_while_a_request_is_answered_carries_its_id_also_in_threads(
    memory: Memory,
) -> None:
    async def answer(number: int) -> str:
        made = begin_request()
        await anyio.sleep(0.01 * (3 - number))
        await anyio.to_thread.run_sync(say, f"answer {number}")
        return made

    async def both() -> dict[int, str]:
        made: dict[int, str] = {}

        async def run(number: int) -> None:
            made[number] = await answer(number)

        async with anyio.create_task_group() as tasks:
            for number in (1, 2):
                tasks.start_soon(run, number)
        return made

    made = anyio.run(both)
    found = {line["message"]: line["request"] for line in map(json.loads, memory.lines)}
    assert found == {"answer 1": made[1], "answer 2": made[2]}
    assert made[1] != made[2]
    assert current_request() == ""


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_of_the_settings_is_not_written_whatever_is_around_it(
    memory: Memory, secret: str
) -> None:
    say("before%safter", secret)
    try:
        raise ValueError(f"no luck with {secret}")
    except ValueError:
        logging.getLogger("test.logbook").exception("it failed")
    assert len(memory.lines) == 2
    assert not [line for line in memory.lines if secret in line]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET with Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("Basic dXNlcjpwYXNzd29yZA== was refused", "dXNlcjpwYXNzd29yZA"),
        ("connecting to postgres://me:swordfish@db/air", "swordfish"),
        ("dsn host=db password=swordfish dbname=air", "swordfish"),
        ('{"api_key": "swordfish"}', "swordfish"),
        ("/write?u=me&p=swordfish", "swordfish"),
        ("uoe_2AM6ubPDLQfzXMySbj8CU86xL7qs5IC9GXGRhAGecmw", "2AM6ubPDLQ"),
    ],
)
def test_what_looks_like_a_secret_is_not_written(text: str, clean: str) -> None:
    assert clean not in Veil(Settings()).over(text)


@pytest.mark.parametrize(
    "text",
    [
        "token 12 is revoked",
        "a token of scope sensor",
        "the broker mqtt://broker.example:1883 is connected",
        "SELECT * FROM readings WHERE key = 5 AND name = 'Basic'",
        "2 readings of school-12 at 60.171, 24.941",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert Veil(Settings()).over(text) == text


def test_only_the_last_lines_are_kept(memory: Memory) -> None:
    for number in range(KEPT_LINES + 3):
        say("line %d", number)
    assert len(memory.lines) == KEPT_LINES
    assert json.loads(memory.lines[0])["message"] == "line 3"


def test_settings_are_shown_but_for_the_secret_ones() -> None:
    found = json.dumps(shown(SECRET_SETTINGS))
    assert not [secret for secret in SECRETS if secret in found]
    assert shown(SECRET_SETTINGS)["port"] == 8080
    assert shown(SECRET_SETTINGS)["mqtt_url"] == "(set)"
    assert shown(Settings())["mqtt_url"] == "(not set)"


def test_a_setting_whose_name_sounds_secret_is_known_as_one() -> None:
    """Whoever adds a setting must think of it."""
    sounding = {
        name
        for name in Settings.__struct_fields__
        if re.search(r"secret|password|token|dsn|_url$|key", name)
    }
    assert sounding <= SECRET
