"""The commands that repair: `retry`, `accept-deletions` and `dead-letters`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.options import Json, KindName, Local, Project, chosen
from ops.screen import many
from ops.session import session
from shared.clock import utc_now
from shared.drchrono.kinds import KINDS

MOST_SHOWN = 20

# The actions of dead-letters. Not an enumeration, because typer words the error about an unknown value itself.
LIST, REPLAY, DISCARD = ACTIONS = ("list", "replay", "discard")


def retry(
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="R", help="Only this reason, for example quota.")
    ] = None,
    kind: KindName = None,
    record: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="This record (with --kind), pending or not.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every stored record (with --kind): one request for each.")
    ] = False,
    project: Project = None,
    local: Local = False,
) -> None:
    """Make pending entries due now, within the quota."""
    from ops.repair import look_again, look_at_all, retry_reason

    given = sum((reason is not None, record is not None, everything))
    if given > 1 or ((record is not None or everything) and kind is None):
        raise typer.BadParameter("--id and --all need --kind, and exclude each other", param_hint="--id, --all")
    kinds = chosen(kind, tuple(KINDS))
    with session(project, local) as (screen, target):
        pending = target.system.queue()
        if record is not None:
            look_again(target.system, KINDS[kinds[0]], record, utc_now())
            screen.say(f"{kind}/{record} is due now.")
        elif everything:
            count = look_at_all(target.system.documents(), pending, KINDS[kinds[0]], utc_now())
            screen.say(f"{many(count, 'record')} of {kind} will be fetched, after more urgent entries.")
        else:
            due = retry_reason(pending, reason, kind, utc_now())
            screen.say(f"{many(due, 'entry', 'entries')} that waited {'is' if due == 1 else 'are'} due now.")
        screen.say(f"The next run of sync works on it ({target.sync_pause}), within the quota.")


def dead_letters(
    action: Annotated[str, typer.Argument(help=f"One of {', '.join(ACTIONS)}.")] = LIST,
    numbers: Annotated[list[str] | None, typer.Argument(help="Numbers of messages, as `list` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All messages.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Discard without asking.")] = False,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """List, replay or discard undeliverable messages.

    These messages failed for hours. Shows event, kind and id of each, or why it cannot be read; never other content.
    `replay` publishes them again, `discard` deletes them.
    """
    from ops.dead_letters import MOST, dead_letters
    from ops.dead_letters_screen import show_messages

    if action not in ACTIONS:
        raise typer.BadParameter(f"choose one of {', '.join(ACTIONS)}", param_hint="ACTION")
    if action != LIST and bool(numbers) == everything:
        raise typer.BadParameter("give numbers, or --all", param_hint="NUMBERS")
    with session(project, local) as (screen, target):
        queue = dead_letters(target)
        messages = queue.look(MOST)
        if action == LIST:
            show_messages(screen, [message.shown() for message in messages], json=json)
            return
        picked = [message for message in messages if everything or message.number in (numbers or [])]
        unknown = set(numbers or []) - {message.number for message in picked}
        if unknown:
            raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}: see `list`", param_hint="NUMBERS")
        if action == REPLAY:
            queue.replay(picked)
            screen.say(f"{many(len(picked), 'message')} sent again.")
        elif yes or screen.ask(f"Discard {many(len(picked), 'message')} permanently? [y/N]").lower() in ("y", "yes"):
            queue.discard(picked)
            screen.say(f"{many(len(picked), 'message')} discarded.")
        else:
            screen.say("Nothing was done.")


def accept_deletions(
    kind: Annotated[str, typer.Argument(help="For example patients.")],
    yes: Annotated[bool, typer.Option("--yes", help="Accept without asking.")] = False,
    project: Project = None,
    local: Local = False,
) -> None:
    """Confirm that absent records are deleted.

    So many records of a kind were absent that none was marked as deleted. Look in DrChrono first: if the records are
    there, the DrChrono user lacks a permission. Shows ids, never content. The confirmation holds for a day.
    """
    from ops.repair import absent_ids, accept

    kinds = chosen(kind, tuple(KINDS), "KIND")
    with session(project, local) as (screen, target):
        row = KINDS[kinds[0]]
        held_since = target.system.absences().held_since(row)
        ids = absent_ids(target.system.documents(), row)
        if held_since is None and not ids:
            screen.say(f"No deletions of {kind} are held.")
            return
        if ids:
            shown = ", ".join(ids[:MOST_SHOWN]) + (
                f" and {len(ids) - MOST_SHOWN} more" if len(ids) > MOST_SHOWN else ""
            )
            screen.say(f"{many(len(ids), 'record')} of {kind} that DrChrono does not show: {shown}")
        else:
            screen.say(f"A pass over {kind} showed too few records; the next pass determines which are absent.")
        if not yes and screen.ask("Are they deleted in DrChrono? [y/N]").lower() not in ("y", "yes"):
            screen.say("Nothing was done.")
            return
        accept(target.system.parts(), row)
        screen.say("Accepted for 24 hours. The next runs of sync read each once more, and mark those that are gone.")
