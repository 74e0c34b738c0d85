"""Answers of DrChrono gone wrong: true ones with pieces replaced, left out or moved, and a service that gives them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from random import Random
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

CANARY = "Zebulon Quackenbush"

NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    2**70,
    1.5,
    1e308,
    float("nan"),
    "",
    " ",
    "0",
    "__id__",
    "a/b",
    "..",
    "\ud800",
    "\x00",
    "x" * 3000,
    "2026-03-10T10:00:00",
    "9999-12-31T23:59:59",
    "not a time",
    "In progress",
    "http://elsewhere.example/api/patients",
    "/api/patients?cursor=1",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": 1},
    {"__x__": 1},
    {"_sync": {"deleted": True}},
    CANARY,
)


NAMES = ("_sync", "id", "updated_at", "results", "next", "", "__x__", "a.b")


def spoiled(value: Any, dice: Random, most: int = 4) -> Any:
    """A copy of `value` (JSON) with up to `most` places in it made nasty."""
    value = deepcopy(value)
    for _ in range(dice.randint(1, most)):
        value = _spoiled_once(value, dice)
    return value


def _spoiled_once(value: Any, dice: Random) -> Any:
    if isinstance(value, dict | list) and value and dice.random() < 0.85:
        place = dice.choice(sorted(value)) if isinstance(value, dict) else dice.randrange(len(value))
        match dice.random():
            case luck if luck < 0.25:
                del value[place]
            case luck if luck < 0.35 and isinstance(value, dict):
                value[dice.choice(NAMES)] = deepcopy(value[place])
            case luck if luck < 0.45 and isinstance(value, list):
                value.append(deepcopy(value[place]))
            case _:
                value[place] = _spoiled_once(value[place], dice)
        return value
    if dice.random() < 0.03:
        return json.loads("[" * 60 + "]" * 60)
    return deepcopy(dice.choice(NASTY))


def cut(body: bytes, dice: Random) -> bytes:
    """`body` with some bytes changed, or its end lost."""
    if dice.random() < 0.5:
        return body[: dice.randrange(len(body) + 1)]
    changed = bytearray(body)
    for _ in range(dice.randint(1, 8)):
        if changed:
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


Reply = tuple[int, Mapping[str, str], bytes]


class Service(BaseAdapter):
    """In the place of the network: `answer(method, target)` says what comes back."""

    def __init__(self, answer: Callable[[str, str], Reply]) -> None:
        super().__init__()
        self.answer = answer

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        status, headers, body = self.answer(str(request.method), str(request.path_url))
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response.raw = HTTPResponse(io.BytesIO(body), headers=headers, status=status, preload_content=False)
        return response

    def close(self) -> None: ...

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", self)
        return session
