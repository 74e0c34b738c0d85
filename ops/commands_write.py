"""The commands for writes to DrChrono: `outbox` and `put`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from ops.options import Json, Local, Project
from ops.screen import BAD, GOOD, Screen, ago, table
from ops.session import OUT_OF_ORDER, session
from shared.clock import utc_now
from shared.outbox.entries import State
from shared.outbox.summary import Summary


class Action(StrEnum):
    LIST = "list"
    SHOW = "show"
    RETRY = "retry"
    CANCEL = "cancel"


def outbox(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    key: Annotated[str | None, typer.Argument(metavar="ENTRY", help="Name of the entry, as `list` shows it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """List, show, retry or cancel writes of other programs.

    `list` shows unfinished entries without their content. `show` prints a whole entry, which is patient data. `retry`
    sends an entry again, `cancel` ends it. An entry that is unknown may have reached DrChrono: look there before you
    retry or cancel it.
    """
    from ops.outbox import cancel, document, listed, outbox_of, send_again, state_of

    if (action is Action.LIST) == (key is not None):
        raise typer.BadParameter("show, retry and cancel take one entry, list none", param_hint="ENTRY")
    with session(project, local) as (screen, target):
        now = utc_now()
        box = outbox_of(target, now)
        if key is None:
            entries = listed(box, now)
            if json:
                screen.json([asdict(entry) for entry in entries])
            else:
                _show(screen, entries)
            return
        if action is Action.SHOW:
            screen.json(document(box, key))
            return
        if state_of(box, key) is State.UNKNOWN and not yes:
            screen.say("It is not known whether DrChrono did this. Look there first.")
            question = "Did nothing arrive, and should it be sent again?" if action is Action.RETRY else "End it?"
            if screen.ask(f"{question} [y/N]").lower() not in ("y", "yes"):
                screen.say("Nothing was done.")
                return
        state = send_again(box, key, now) if action is Action.RETRY else cancel(box, key, now)
        said = "It will not be sent." if state is State.REJECTED else "The next run of sync sends it."
        screen.say(f"{key} is {state}. {said}")


def put(
    kind: Annotated[str, typer.Argument(help="patients or appointments.")],
    record: Annotated[str, typer.Argument(metavar="ID", help="DrChrono's id of the record.")],
    settings: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="A field to change.")],
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    project: Project = None,
    local: Local = False,
) -> None:
    """Change fields of one record in DrChrono.

    Uses the outbox, as other programs do. Exit code 0: done. 1: rejected, or not done yet.
    """
    from ops.outbox import add, outbox_of, settled, update_entry

    with session(project, local) as (screen, target):
        now = utc_now()
        box = outbox_of(target, now)
        data = update_entry(kind, record, settings, now)
        names = ", ".join(data["fields"])
        if not yes and screen.ask(f"Change {names} of {kind}/{record} in DrChrono? [y/N]").lower() not in ("y", "yes"):
            screen.say("Nothing was sent.")
            return
        key = add(target, data)
        target.system.outbox().send(key)
        entry = settled(box, key)
        if entry is not None and entry.state is State.DONE:
            screen.say(f"Done. The record's version is {entry.version or 'not shown yet'}.", GOOD)
            return
        state, reason = (entry.state, entry.reason) if entry is not None else (State.REJECTED, "")
        screen.say(f"{key} is {state}{f' ({reason})' if reason else ''}.", BAD)
        screen.command("To see it:", target.command(f"outbox show {key}"))
        raise typer.Exit(OUT_OF_ORDER)


def _show(screen: Screen, entries: list[Summary]) -> None:
    if not entries:
        screen.say("Nothing waits, and nothing was rejected.")
        return
    now = utc_now()
    shown = table("entry", "record", "action", "state", "reason", "asked for")
    shown.columns[0].no_wrap = True  # people copy it
    for entry in entries:
        record = f"{entry.kind}/{entry.record or 'new'}"
        reason = ", ".join(filter(None, [entry.reason, *entry.complaints]))
        asked = ago(entry.requested_at, now) if entry.requested_at is not None else "?"
        shown.add_row(entry.entry, record, entry.action, str(entry.state), reason, asked)
    screen.show(shown)
