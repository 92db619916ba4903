"""Writes web/src/api-types.ts from the OpenAPI document: python -m scripts.api_types.

Of what the document may hold, this knows what a struct of msgspec becomes there. The usual
generator needs the compiler interface of TypeScript 5, which later versions do not have.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import httpx

from urbanos_edge.app import create_app
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings

PAGE: Final = Path(__file__).parents[1] / "web" / "src"
HEAD: Final = """/**
 * What the node answers, made of its OpenAPI document; to make it anew, run
 * `.venv/bin/python -m scripts.api_types`.
 */
"""
_PLAIN: Final = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}
_REFERENCE: Final = "#/components/schemas/"
_IN_FRAMES: Final = {"$ref": _REFERENCE + "Row"}
"""What comes over the WebSocket, which the document has no place for."""
_ASKED: Final = re.compile(r"\bask\(\s*'([^']+)'")

Schema = Mapping[str, Any]


def types(document: Schema) -> str:
    """What each path that the page reads answers to a GET, and an interface for what is in it."""
    schemas = document["components"]["schemas"]
    told = {path: _answer(document, path) for path in _paths()}
    named = _named([*told.values(), _IN_FRAMES], schemas)
    parts = [_interface(name, schemas[name]) for name in sorted(named)]
    lines = [f"  '{path}': {_type(told[path])};\n" for path in sorted(told)]
    parts.append(f"export interface Answers {{\n{''.join(lines)}}}\n")
    return "\n".join([HEAD, *parts])


def _interface(name: str, schema: Schema) -> str:
    if "properties" not in schema:
        return f"export type {name} = {_type(schema)};\n"
    return f"export interface {name} {{\n{''.join(_fields(schema))}}}\n"


def _fields(schema: Schema) -> list[str]:
    required = schema.get("required", ())
    return [
        f"  {name}{'' if name in required else '?'}: {_type(field)};\n"
        for name, field in schema["properties"].items()
    ]


def _paths() -> set[str]:
    """The paths that the page asks for, as they stand in its source."""
    sources = [file.read_text(encoding="utf-8") for file in PAGE.rglob("*api.ts")]
    return {path for source in sources for path in _ASKED.findall(source)}


def _answer(document: Schema, path: str) -> Schema:
    """The schema of what a GET of this path is answered.

    Raises:
        KeyError: nothing is told of it; its route needs `responses=told(…)`.
    """
    told = document["paths"][path]["get"]["responses"]["200"]
    schema: Schema = told["content"]["application/json"]["schema"]
    return schema


def _named(part: Any, schemas: Schema) -> set[str]:
    """The names of all schemas that a part of the document leads to."""
    found: set[str] = set()
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            name = str(part.get("$ref", "")).removeprefix(_REFERENCE)
            if name and name not in found:
                found.add(name)
                waiting.append(schemas[name])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


def _type(schema: Schema) -> str:
    if reference := schema.get("$ref"):
        return str(reference).removeprefix(_REFERENCE)
    if options := schema.get("oneOf") or schema.get("anyOf"):
        return " | ".join(_type(option) for option in options)
    if values := schema.get("enum"):
        return " | ".join("null" if value is None else f"'{value}'" for value in values)
    kinds = schema.get("type", ())
    written = [_of_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return " | ".join(written) or "unknown"


def _of_kind(kind: str, schema: Schema) -> str:
    if kind == "array":
        items = _type(schema.get("items", {}))
        return f"({items})[]" if "|" in items else f"{items}[]"
    if kind == "object":
        return f"Record<string, {_type(schema.get('additionalProperties') or {})}>"
    return _PLAIN[kind]


async def _document() -> Any:
    with TemporaryDirectory() as folder:
        node = Node(Settings(), Path(folder))
        try:
            transport = httpx.ASGITransport(cast(Any, create_app(node, "", 0)))
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                return (await client.get("/schema/openapi.json")).json()
        finally:
            node.close()


if __name__ == "__main__":
    made = types(asyncio.run(_document()))
    (PAGE / "api-types.ts").write_text(made, encoding="utf-8")
