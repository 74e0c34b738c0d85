"""Documents as the JSON text that the embedded store keeps, and back. JSON has no instants: they are tagged. Pure."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from shared.documents import Data, Serialized


def instant(value: datetime) -> str:
    """In UTC and of fixed width, so that text compares as time does."""
    return _text(value.astimezone(timezone.utc))


@lru_cache(maxsize=256)  # the documents of a page share theirs
def _text(utc: datetime) -> str:
    return utc.isoformat(timespec="microseconds").removesuffix("+00:00")


class Encoder(json.JSONEncoder):
    """JSON has no instants: they become {"$time": text}. A record's own key that begins with $ gets a second one."""

    def __init__(self) -> None:
        super().__init__(separators=(",", ":"))
        self._tags = 0

    def default(self, value: object) -> Data:
        if not isinstance(value, datetime):
            raise TypeError(f"documents hold no {type(value).__name__}")
        self._tags += 1
        return {"$time": instant(value)}

    def text_of(self, data: Data) -> str:
        if isinstance(data, Serialized) and data.text != "{}" and '"$' not in data.text:
            return f"{data.text[:-1]},{self.text_of(data.rest)[1:]}"
        self._tags = 0
        text = self.encode(data)
        # Nearly all documents have no such key, and are written without a look at each of theirs.
        return text if text.count('"$') == self._tags else self.encode(_tagged(data))


def _tagged(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$time": instant(value)}
    if isinstance(value, dict):
        return {"$" + key if key.startswith("$") else key: _tagged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    return value


def loads(text: str) -> Any:
    return json.loads(text, object_hook=_untagged) if '"$' in text else json.loads(text)


def _untagged(value: dict[str, Any]) -> Any:
    if "$time" in value:
        return datetime.fromisoformat(value["$time"]).replace(tzinfo=timezone.utc)
    if any(key.startswith("$$") for key in value):
        return {key[1:] if key.startswith("$$") else key: item for key, item in value.items()}
    return value
