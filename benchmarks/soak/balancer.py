"""One loopback port in front of several instances of a function, like Cloud Run's front end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Sequence
from typing import Self

# How long a connection is held while no instance has a free slot and accepts it. Cloud Run holds it about as long.
HELD_SECONDS = 10.0
LOOK_SECONDS = 0.1
PIECE_BYTES = 2**16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """Forwards each connection to `port` to the next of `backends` (ports) that accepts it.

    slots: how many connections an instance gets at once. More would wait inside it, and be worked on after their client
    has given up.
    """

    def __init__(self, port: int, backends: Sequence[int], slots: int) -> None:
        self._port = port
        self._backends = backends
        self._free = dict.fromkeys(backends, slots)
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
            for _ in range(int(HELD_SECONDS / LOOK_SECONDS)):
                if await self._forwarded(reader, writer):
                    break
                await asyncio.sleep(LOOK_SECONDS)
        writer.close()

    async def _forwarded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve the connection by the first instance in turn that can. Return False if none can now."""
        first = next(self._turn)
        for offset in range(len(self._backends)):
            port = self._backends[(first + offset) % len(self._backends)]
            if not self._free[port]:
                continue
            self._free[port] -= 1
            try:
                backend = await asyncio.open_connection("127.0.0.1", port)
                await _joined((reader, writer), backend)
                return True
            except OSError:
                continue
            finally:
                self._free[port] += 1
        return False


async def _joined(client: Streams, backend: Streams) -> None:
    """Copy in both directions until one side closes, and close the other. HTTP does not use half-open connections."""
    directions = ((client[0], backend[1]), (backend[0], client[1]))
    copying = [asyncio.ensure_future(_pour(*direction)) for direction in directions]
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for direction in copying:
            direction.cancel()
        backend[1].close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
