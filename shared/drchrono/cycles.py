"""Detects a cycle in the links of a list: Brent's algorithm keeps one earlier link, each for twice as long. Pure.

A cycle of n links that begins after m links is detected within 3 (m + n) requests, even if several runs share the walk.
The state has a fixed size and is part of the position in the list.
"""

from __future__ import annotations

from typing import Any

from shared.drchrono.calls import Call
from shared.drchrono.records import Cursor
from shared.errors import ListRepeats


def next_mark(call: Call, position: Cursor, target: str) -> dict[str, Any]:
    """Return the state after the link from the page at `position`, which `call` requested, to `target`.

    mark: the remembered link. steps: how many links were followed since. most: for how many it is kept. Raises
    ListRepeats if `target` is that page itself or the remembered link.
    """
    mark, steps, most = position.get("mark", call.target), position.get("steps", 0), position.get("most", 1)
    if target in (mark, call.target):
        raise ListRepeats(call.operation, status=200, remedy="its pages lead back to one that was read")
    if steps + 1 < most:
        return {"mark": mark, "steps": steps + 1, "most": most}
    return {"mark": target, "steps": 0, "most": 2 * most}
