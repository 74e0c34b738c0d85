"""Firestore calls with bare protobuf messages, their deadlines, and the translation of their errors.

The library's client sends them, with its channel, credentials and translation of statuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from google.api_core.exceptions import (
    DeadlineExceeded,
    GoogleAPICallError,
    InternalServerError,
    InvalidArgument,
    RetryError,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud import firestore
from google.cloud.firestore_v1.types import BatchGetDocumentsRequest, CommitRequest
from google.protobuf.timestamp_pb2 import Timestamp

from shared.cloud.firestore_values import decode, encode, instant
from shared.documents import Data
from shared.errors import RecordTooLarge, StoreUnavailable

# One attempt of a call, and all attempts together. The library would wait for a minute and more. The callers need not:
# DrChrono and Pub/Sub deliver again.
ATTEMPT_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0
_PASSING = if_exception_type(ServiceUnavailable, InternalServerError, DeadlineExceeded)

_Commit = CommitRequest.pb()
_Get = BatchGetDocumentsRequest.pb()

_PLAIN_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


@contextmanager
def translated() -> Iterator[None]:
    """Translate Google's errors. Their texts may contain a document's content, so they are dropped."""
    try:
        yield
    except InvalidArgument as error:
        # The only argument of this module that Firestore can reject is a document over its limits.
        raise RecordTooLarge(f"Firestore refused a document ({type(error).__name__})") from None
    except (GoogleAPICallError, GoogleAuthError, RetryError) as error:
        raise StoreUnavailable(f"Firestore: {type(error).__name__}") from None


class CallOptions(TypedDict):
    """The time limits of a call, for the arguments that every call of the library takes."""

    retry: Retry
    timeout: float


def call_options(seconds: float) -> CallOptions:
    retry = Retry(predicate=_PASSING, initial=0.1, maximum=1.0, multiplier=2.0, timeout=seconds)
    return {"retry": retry, "timeout": min(ATTEMPT_SECONDS, seconds)}


class Found(NamedTuple):
    """A document as it was read. data, version: None if it doesn't exist. read_at: Firestore's time, UTC."""

    path: str
    data: Data | None
    version: Timestamp | None
    read_at: datetime


class Calls:
    """Raises Google's errors, so callers wrap the methods in `translated`."""

    def __init__(self, client: firestore.Client, options: CallOptions) -> None:
        self._client = client
        self._options = options
        self._database: str = client._database_string
        self._prefix = f"{self._database}/documents/"

    def read(self, paths: Sequence[str], fields: Sequence[str]) -> list[Found]:
        """Return these documents in any order, each once; if `fields` are given, only these top-level fields."""
        if not paths:
            return []
        request = _Get(database=self._database, documents=[self._prefix + path for path in paths])
        if fields:
            request.mask.field_paths.extend(map(field_path, fields))
        answers = self._client._firestore_api.batch_get_documents(
            request=BatchGetDocumentsRequest.wrap(request), metadata=self._client._rpc_metadata, **self._options
        )
        return [self._found(answer._pb) for answer in answers]

    def _found(self, answer: Any) -> Found:
        at = instant(answer.read_time)
        if answer.WhichOneof("result") == "found":
            document = answer.found
            return Found(document.name[len(self._prefix) :], decode(document.fields), document.update_time, at)
        return Found(answer.missing[len(self._prefix) :], None, None, at)

    def writes(self) -> Writes:
        return Writes(_Commit(database=self._database), self._prefix)

    def commit(self, writes: Writes) -> None:
        self._client._firestore_api.commit(
            request=CommitRequest.wrap(writes.request), metadata=self._client._rpc_metadata, **self._options
        )


class Writes:
    """The writes of one commit, in order. Each method returns the bare `Write`, so that a precondition can be added."""

    def __init__(self, request: Any, prefix: str) -> None:
        self.request = request
        self._prefix = prefix

    def __bool__(self) -> bool:
        return bool(self.request.writes)

    def set(self, path: str, data: Data) -> Any:
        write = self.request.writes.add()
        write.update.name = self._prefix + path
        encode(write.update.fields, data)
        return write

    def update(self, path: str, data: Data) -> Any:
        write = self.set(path, data)
        write.update_mask.field_paths.extend(sorted(map(field_path, data)))
        write.current_document.exists = True
        return write

    def delete(self, path: str) -> Any:
        write = self.request.writes.add()
        write.delete = self._prefix + path
        return write


def field_path(name: str) -> str:
    """Return the path of the top-level field `name` (firebase.google.com/docs/firestore/reference/rest/v1/Document)."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
