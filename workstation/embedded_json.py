"""Documents as the JSON text that the embedded store keeps, and back. Instants, which JSON lacks, are tagged. Pure."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from shared.documents import Data, Serialized


def instant(value: datetime) -> str:
    """Return the instant in UTC with a fixed width, so that texts sort as times do."""
    return _text(value if value.tzinfo is timezone.utc else value.astimezone(timezone.utc))


@lru_cache(maxsize=256)  # the documents of a page share instants
def _text(utc: datetime) -> str:
    return utc.isoformat(timespec="microseconds").removesuffix("+00:00")


class Encoder(json.JSONEncoder):
    """Encodes instants as {"$time": text}. A key of a record that begins with $ gets a second $."""

    def __init__(self) -> None:
        super().__init__(separators=(",", ":"), check_circular=False)
        self._tags = 0

    def default(self, value: object) -> Data:
        if not isinstance(value, datetime):
            raise TypeError(f"documents hold no {type(value).__name__}")
        self._tags += 1
        return {"$time": instant(value)}

    def text_of(self, data: Data) -> str:
        # Many texts have no "$" at all, which is found faster.
        if isinstance(data, Serialized) and data.text != "{}" and ("$" not in data.text or '"$' not in data.text):
            return f"{data.text[:-1]},{self.text_of(data.rest)[1:]}"
        self._tags = 0
        text = self.encode(data)
        # Nearly all documents have no such key, so their keys are not checked one by one.
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
    if '"$' not in text:
        return json.loads(text)
    return json.loads(text, object_hook=_untagged if '"$$' in text else _instants_of)


def _instants_of(value: dict[str, Any]) -> Any:
    return _parsed(value["$time"]) if "$time" in value else value


@lru_cache(maxsize=256)
def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def _untagged(value: dict[str, Any]) -> Any:
    if "$time" in value:
        return _parsed(value["$time"])
    if any(key.startswith("$$") for key in value):
        return {key[1:] if key.startswith("$$") else key: item for key, item in value.items()}
    return value
