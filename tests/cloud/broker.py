"""A Pub/Sub on loopback that answers as a test specifies, including answers that the emulator cannot give."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.pubsub_v1 import PublishRequest, PublishResponse


@dataclass
class Broker:
    """A Pub/Sub service on loopback. `answer` sees each request, and raises a status to refuse it."""

    answer: Callable[[list[bytes]], grpc.StatusCode | None] = lambda messages: None
    port: int = 0
    requests: list[list[bytes]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def publish(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        messages = [bytes(message.data) for message in PublishRequest.deserialize(request).messages]
        self.requests.append(messages)
        self.arrived.release()
        status = self.answer(messages)
        if status is not None:
            context.abort(status, "refused")
        ids = [str(number) for number, _ in enumerate(messages)]
        return bytes(PublishResponse.serialize(PublishResponse(message_ids=ids)))

    def __enter__(self) -> Broker:
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self.publish)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": handler}),)
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
