"""Who may do what, and that no secret is kept."""

from __future__ import annotations

import anyio
import pytest

from urbanos_edge.errors import Forbidden, NotFound, Unauthorized, Unprocessable
from urbanos_edge.node import Node
from urbanos_edge.tokens import Scope, Token, Tokens


def create(node: Node, scope: Scope, sensor_id: str | None = None) -> str:
    async def work() -> str:
        return await node.tokens.create(scope, sensor_id=sensor_id, name="test")

    return anyio.run(work)


def test_a_token_is_known_by_its_secret_also_after_a_restart(node: Node) -> None:
    secret = create(node, "gateway")
    reloaded = Tokens(node.database, node.clock)
    assert node.tokens.authenticate(secret) == reloaded.authenticate(secret)


def test_no_secret_is_on_the_disk(node: Node) -> None:
    secret = create(node, "gateway")
    files = [path for path in node.data_dir.rglob("*") if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_a_revoked_token_ends_at_once_and_for_good(node: Node) -> None:
    secret = create(node, "gateway")
    anyio.run(node.tokens.revoke, 1)
    for tokens in (node.tokens, Tokens(node.database, node.clock)):
        with pytest.raises(Unauthorized):
            tokens.authenticate(secret)


def test_revoking_what_does_not_exist_says_so(node: Node) -> None:
    with pytest.raises(NotFound):
        anyio.run(node.tokens.revoke, 7)


@pytest.mark.parametrize("secret", ["", "uoe_", "x" * 10_000, "ünï"])
def test_a_made_up_secret_is_refused(node: Node, secret: str) -> None:
    create(node, "admin")
    with pytest.raises(Unauthorized):
        node.tokens.authenticate(secret)


@pytest.mark.parametrize(
    ("scope", "own", "anothers"),
    [("sensor", True, False), ("gateway", True, True), ("admin", True, True)]
    + [("operator", False, False), ("sync", False, False)],
)
def test_who_may_write_for_whom(scope: Scope, own: bool, anothers: bool) -> None:
    token = Token(1, scope, "mine" if scope == "sensor" else None, "", 0)
    assert token.may_write("mine") is own
    assert token.may_write("another's") is anothers


def test_an_admin_may_do_what_others_need_a_scope_for() -> None:
    Token(1, "admin", None, "", 0).demand("operator")
    with pytest.raises(Forbidden):
        Token(1, "sync", None, "", 0).demand("operator", "gateway")


def test_only_a_sensors_token_names_a_sensor(node: Node) -> None:
    with pytest.raises(Unprocessable):
        create(node, "sensor")
    with pytest.raises(Unprocessable):
        create(node, "gateway", "mine")
