"""The commands: what each takes, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date, datetime, timezone
from enum import StrEnum
from os import environ
from pathlib import Path
from typing import Annotated

import typer

from ops.authorization import AuthorizationFailed
from ops.place import STORE_REMEDY, Place, local_place, project_place
from ops.screen import BAD, DIM, GOOD, Screen, many
from shared.drchrono.kinds import KINDS
from shared.errors import SettingsError, StoreUnavailable, SyncError

OUT_OF_ORDER = 1  # wrong use is click's 2

app = typer.Typer(
    help="Authorize, look at and repair the copy of DrChrono's records.",
    epilog="Begin with `doctor` when something is wrong. docs/operating.md says what each alert means.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)

Project = Annotated[
    str | None,
    typer.Option("--project", metavar="P", help="The Google Cloud project (default: GCP_PROJECT, else gcloud's)."),
]
Local = Annotated[bool, typer.Option("--local", help="The system that `make run` keeps up on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
KindName = Annotated[str | None, typer.Option("--kind", metavar="K", help="Only this kind, such as appointments.")]


class Action(StrEnum):
    LIST = "list"
    REPLAY = "replay"
    DISCARD = "discard"


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@app.command()
def authorize(
    paste: Annotated[bool, typer.Option("--paste", help="Paste what a browser elsewhere shows.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the browser, where there is one.")] = True,
    project: Project = None,
    local: Local = False,
) -> None:
    """Connect the copy with a DrChrono user.

    Again whenever an alert asks for it. Prints the address to open, waits for the redirect, and stores the token pair.
    Shows when it expires and what was granted, never a token. Whatever was authorized before is replaced.
    """
    from ops.authorize import authorize

    with session(project, local) as (screen, place):
        authorize(screen, place, paste=paste, browser=browser)


@app.command()
def status(project: Project = None, local: Local = False, json: Json = False) -> None:
    """How complete the copy is, and what waits for what.

    And how token, quota, dead letters and jobs are.
    """
    from ops.status import status
    from ops.status_screen import show_status

    with session(project, local) as (screen, place):
        found = status(place, utc_now())
        if json:
            screen.json(found.as_json())
        else:
            show_status(screen, found, place)


@app.command()
def doctor(
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Of the receiver, if not found.")] = None,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """Check what the copy stands on, and say what to do.

    Exit code 0: nothing failed. 1: something did.
    """
    from ops.doctor import examine

    with session(project, local, webhook_url=url) as (screen, place):
        results = []
        for result in examine(place, utc_now):
            results.append(result)
            if not json:
                style = {"passed": GOOD, "failed": BAD, "skipped": DIM}[result.verdict]
                screen.fields(result.verdict, style, result.check, result.found)
                if result.remedy:
                    screen.fields("", "", "", f"→ {result.remedy}")
        if json:
            screen.json([asdict(result) for result in results])
        if any(result.verdict == "failed" for result in results):
            raise typer.Exit(OUT_OF_ORDER)


@app.command()
def backfill(
    kind: KindName = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Do it again from this day on, such as 2024-01-01."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it; Ctrl-C leaves it running.")] = False,
    project: Project = None,
    local: Local = False,
) -> None:
    """Fetch everything that was there before.

    What was never fetched, or with --since all again. The five-minute sync does the work, within the quota. Asking
    twice does no harm: what is under way goes on.
    """
    from ops.follow import begin
    from ops.follow import follow as watch
    from shared.jobs.backfill import KIND_NAMES

    kinds = _chosen(kind, KIND_NAMES)
    day = _day(since)
    with session(project, local) as (screen, place):
        begun = begin(place.system.parts(), kinds, day)
        for names, said in ((begun.started, "begun"), (begun.going, "under way already"), (begun.done, "done before")):
            if names:
                screen.say(f"{said.capitalize()}: {', '.join(names)}.")
        if begun.done:
            screen.command("To do it again:", place.command("backfill --since 2009-01-01"))
        if not begun.started and not begun.going:
            return
        again = place.command(f"backfill{f' --kind {kind}' if kind else ''} --follow")
        if not follow:
            screen.command("The next run of sync works on it, every five minutes. To watch:", again)
            return
        try:
            done = watch(screen, place, begun.started + begun.going, now=utc_now, sleep=time.sleep)
        except KeyboardInterrupt:
            screen.say()
            screen.command("The backfill goes on by itself. To look again:", again)
            return
        if not done:
            raise typer.Exit(OUT_OF_ORDER)


@app.command()
def retry(
    reason: Annotated[str | None, typer.Option("--reason", metavar="R", help="Only this, such as quota.")] = None,
    kind: KindName = None,
    record: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="This record (with --kind), whether or not it is pending.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every stored record (with --kind): one request for each.")
    ] = False,
    project: Project = None,
    local: Local = False,
) -> None:
    """Have what is pending tried now, within the quota."""
    from ops.repair import look_again, look_at_all

    chosen = sum((reason is not None, record is not None, everything))
    if chosen > 1 or ((record is not None or everything) and kind is None):
        raise typer.BadParameter("--id and --all go with --kind, and not together", param_hint="--id, --all")
    kinds = _chosen(kind, tuple(KINDS))
    with session(project, local) as (screen, place):
        pending = place.system.queue()
        if record is not None:
            look_again(pending, KINDS[kinds[0]], record, utc_now())
            screen.say(f"{kind}/{record} is due now.")
        elif everything:
            count = look_at_all(place.system.documents(), pending, KINDS[kinds[0]], utc_now())
            screen.say(f"{many(count, 'record')} of {kind} will be looked at, after what is more urgent.")
        else:
            due = pending.make_due(utc_now(), reason=reason, kind=kind)
            screen.say(f"{many(due, 'entry', 'entries')} that waited {'is' if due == 1 else 'are'} due now.")
        screen.say("The next run of sync works on it (every five minutes), within the quota.")


@app.command("dead-letters")
def dead_letters(
    action: Annotated[Action, typer.Argument(help="What to do with them.")] = Action.LIST,
    numbers: Annotated[list[str] | None, typer.Argument(help="Which, by the number that `list` shows.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Discard without asking.")] = False,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """See, send again or discard what could not be stored.

    These messages failed for hours. Shows event, kind and id of each, or why it cannot be read; never more of its
    content. `replay` sends them again, `discard` throws them away.
    """
    from ops.dead_letters import MOST, dead_letters
    from ops.letters_screen import show_letters

    if action is not Action.LIST and bool(numbers) == everything:
        raise typer.BadParameter("give numbers, or --all", param_hint="NUMBERS")
    with session(project, local) as (screen, place):
        queue = dead_letters(place)
        letters = queue.look(MOST)
        if action is Action.LIST:
            show_letters(screen, [letter.shown() for letter in letters], json=json)
            return
        chosen = [letter for letter in letters if everything or letter.number in (numbers or [])]
        unknown = set(numbers or []) - {letter.number for letter in chosen}
        if unknown:
            raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}: see `list`", param_hint="NUMBERS")
        if action is Action.REPLAY:
            queue.replay(chosen)
            screen.say(f"{many(len(chosen), 'message')} sent again.")
        elif yes or screen.ask(f"Throw {many(len(chosen), 'message')} away for good? [y/N]").lower() in ("y", "yes"):
            queue.discard(chosen)
            screen.say(f"{many(len(chosen), 'message')} discarded.")
        else:
            screen.say("Nothing was done.")


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="Such as patients.")],
    record: Annotated[str, typer.Argument(metavar="ID", help="DrChrono's id of the record.")],
    diff: Annotated[bool, typer.Option("--diff", help="What differs from DrChrono now (one request).")] = False,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """One stored record, or how DrChrono's differs.

    What it prints holds patient data. Exit code 0: stored, and with --diff equal. 1: not stored, or different.
    """
    from ops import compare
    from ops.show_screen import show_compared, show_stored

    with session(project, local) as (screen, place):
        row = compare.kind_of(kind)
        stored = compare.stored(place.system.documents(), place.system.queue(), row, record)
        if not diff:
            show_stored(screen, stored, utc_now(), json=json)
            return
        compared = compare.compared(stored, compare.fetch(place.system.drchrono(), row, record))
        show_compared(screen, place, f"{kind}/{record}", compared, json=json)
        if not compared.equal:
            raise typer.Exit(OUT_OF_ORDER)


def _chosen(kind: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if kind is None:
        return known
    if kind not in known:
        raise typer.BadParameter(f"choose one of {', '.join(known)}", param_hint="--kind")
    return (kind,)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise typer.BadParameter("write it like 2024-01-01", param_hint="--since") from None


@contextmanager
def session(project: str | None, local: bool, *, webhook_url: str | None = None) -> Iterator[tuple[Screen, Place]]:
    """The screen and the system for one command. What goes wrong in it becomes a sentence and exit code 1."""
    if project and local:
        raise typer.BadParameter("it is one or the other", param_hint="--project, --local")
    screen = Screen()
    try:
        # Log lines are for Cloud Logging; here they would be in the middle of a table, or of JSON.
        with contextlib.redirect_stdout(io.StringIO()):
            place = local_place() if local else project_place(project, environ)
            yield screen, replace(place, receiver=webhook_url or "")
    except SettingsError as error:
        _fail(*error.problems)
    except StoreUnavailable as error:
        _fail(f"{error}: {STORE_REMEDY}")
    except (SyncError, AuthorizationFailed) as error:
        _fail(str(error))
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # a traceback would show what was being handled
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        _fail(f"{type(error).__name__} in {where}: this is a defect of the program; please report this line")


def _fail(*problems: str) -> None:
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    raise typer.Exit(OUT_OF_ORDER)
