"""The peer of the fan-out: `python -m bench.broadcaster PORT`, the bare library `websockets`.

It knows nothing of grids, readings or slow clients: whoever sends a frame over 100 bytes has it
sent to everybody, the library's documented way.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from websockets.asyncio.server import ServerConnection, broadcast, serve

ANNOUNCEMENT: Final = 100


async def main() -> None:
    everybody: set[ServerConnection] = set()

    async def follow(connection: ServerConnection) -> None:
        everybody.add(connection)
        try:
            async for frame in connection:
                if len(frame) > ANNOUNCEMENT:
                    broadcast(everybody - {connection}, frame)
        finally:
            everybody.discard(connection)

    async with serve(follow, "127.0.0.1", int(sys.argv[1]), compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
