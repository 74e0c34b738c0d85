"""Shows one stored record, or its differences from DrChrono's."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from ops.compare import Compared, Stored
from ops.screen import BAD, DIM, GOOD, Screen, ago, clock, table
from ops.target_system import TargetSystem

LONGEST_CELL = 200  # characters; the text of a note would fill the screen


def show_stored(screen: Screen, stored: Stored, now: datetime, *, json: bool) -> None:
    if json:
        screen.json({"record": stored.record, "_sync": stored.meta})
        return
    meta = stored.meta
    state = f"deleted ({meta['deleted_reason']})" if meta["deleted"] else "living"
    screen.say(
        f"{state}; stored {ago(meta['stored_at'], now)} by {meta['source']}, fetched {clock(meta['fetched_at'])}", DIM
    )
    if stored.pending:
        screen.say(f"Out of date since {clock(stored.pending.first_seen)}: {stored.pending.reason}", BAD)
    screen.json(stored.record)


def show_history(screen: Screen, rows: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        screen.json([row | {"stored_at": row["stored_at"].isoformat()} for row in rows])
        return
    if not rows:
        screen.say("No version is kept: the history is off, or nothing changed since it is on.")
        return
    shown = table("version", "stored", "operation", "by", "fields")
    for row in rows:
        by = f"{row['source']} {row['event'] or ''}".strip()
        fields = _short(", ".join(row["fields"]))
        shown.add_row(str(row["version"]), clock(row["stored_at"]), row["operation"], by, fields)
    screen.show(shown)


def show_compared(screen: Screen, target: TargetSystem, name: str, compared: Compared, *, json: bool) -> None:
    if json:
        screen.json(asdict(compared))
        return
    if compared.equal:
        said = "deleted, as at DrChrono" if compared.gone else "equal to DrChrono's"
        screen.say(f"{name} is {said}.", GOOD)
        return
    if compared.gone:
        screen.say(f"DrChrono has no {name} (any more).", BAD)
    if compared.deleted:
        screen.say(f"{name} is deleted here, and DrChrono has it.", BAD)
    if compared.differences:
        shown = table("field", "stored", "DrChrono now")
        for each in compared.differences:
            shown.add_row(each.path, _short(each.stored), _short(each.now))
        screen.show(shown)
    kind, record = name.split("/", 1)
    screen.command("To fetch it again:", target.command(f"retry --kind {kind} --id {record}"))


def show_missing(screen: Screen, target: TargetSystem, name: str, said: str, *, there: bool, json: bool) -> None:
    """For a record that the copy doesn't have. said: why. there: whether DrChrono has it."""
    if json:
        screen.json({"stored": False, "gone": not there})
        return
    screen.say(f"{said}.", BAD)
    if not there:
        screen.say(f"DrChrono has no {name} either (any more): check the id.")
        return
    screen.say(f"DrChrono has {name}.")
    kind, record = name.split("/", 1)
    screen.command("To fetch it:", target.command(f"retry --kind {kind} --id {record}"))


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
