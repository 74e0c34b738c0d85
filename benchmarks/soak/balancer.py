"""One loopback port in front of several instances of a function, like Cloud Run's front end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Sequence
from typing import Self

# How long a connection is held while no instance accepts it. Cloud Run holds it until one has started.
HELD_SECONDS = 10.0
LOOK_SECONDS = 0.1
PIECE_BYTES = 2**16


class Balancer:
    """Forwards each connection to `port` to the next of `backends` (ports) that accepts it."""

    def __init__(self, port: int, backends: Sequence[int]) -> None:
        self._port = port
        self._backends = backends
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"balancer-{port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _end(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            backend = await self._backend()
            if backend is not None:
                # When one side closes, close the other as well. HTTP does not use half-open connections.
                ways = [asyncio.ensure_future(_pour(*way)) for way in ((reader, backend[1]), (backend[0], writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                backend[1].close()
        writer.close()

    async def _backend(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(int(HELD_SECONDS / LOOK_SECONDS)):
            first = next(self._turn)
            for offset in range(len(self._backends)):
                port = self._backends[(first + offset) % len(self._backends)]
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(LOOK_SECONDS)
        return None


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
