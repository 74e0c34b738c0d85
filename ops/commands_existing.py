"""The commands for existing records: `backfill` fetches them, `replay` announces them again."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Annotated

import typer

from ops.options import Json, KindName, Local, Project, chosen, past_day
from ops.screen import many
from ops.session import OUT_OF_ORDER, session
from shared.clock import utc_now


def backfill(
    kind: KindName = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Fetch again from this day on, for example 2024-01-01."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it; Ctrl-C does not stop it.")] = False,
    project: Project = None,
    local: Local = False,
) -> None:
    """Fetch all records of the past.

    Fetches the kinds that were never fetched, or with --since all of them again. The next runs of sync do the work,
    within the quota. Starting it twice does no harm: a running backfill continues.
    """
    from ops.follow import begin
    from ops.follow import follow as watch
    from shared.jobs.backfill import KIND_NAMES

    kinds = chosen(kind, KIND_NAMES)
    first = past_day(since, utc_now().date())
    with session(project, local) as (screen, target):
        begun = begin(target.system.parts(), kinds, first)
        for names, said in ((begun.started, "begun"), (begun.going, "already running"), (begun.done, "done before")):
            if names:
                screen.say(f"{said.capitalize()}: {', '.join(names)}.")
        if begun.done:
            screen.command("To fetch again:", target.command("backfill --since 2009-01-01"))
        if not begun.started and not begun.going:
            return
        again = target.command(f"backfill{f' --kind {kind}' if kind else ''} --follow")
        if not follow:
            screen.command(f"The next run of sync works on it ({target.sync_pause}). To watch:", again)
            return
        try:
            done = watch(screen, target, begun.started + begun.going, now=utc_now, sleep=time.sleep)
        except KeyboardInterrupt:
            screen.say()
            screen.command("The backfill continues. To watch it again:", again)
            return
        if not done:
            raise typer.Exit(OUT_OF_ORDER)


def replay(
    kind: Annotated[str, typer.Option("--kind", metavar="K", help="Such as patients.")],
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only what was stored since, such as 2026-03-01.")
    ] = None,
    record: Annotated[str | None, typer.Option("--id", metavar="ID", help="This record alone.")] = None,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """Publish the current state on the change feed again.

    Announces each stored record once, with its version and marked as a replay, 50 a second. It may be stopped and
    started again.
    """
    from ops import compare
    from ops.replay import replay as announce_again

    first = _instant(since)
    with session(project, local) as (screen, target):
        system = target.system
        row = compare.kind_of(kind)
        counts = announce_again(system.feed(), system.documents(), row, since=first, record=record)
        if json:
            screen.json({name: counts[name] for name in ("asked", "published", "failed")})
            return
        screen.say(f"{many(counts['asked'], 'record')}, {many(counts['published'], 'message')} sent.")
        if counts["failed"]:
            screen.say("Pub/Sub did not answer for some: the sync sends them.")


def _instant(text: str | None) -> datetime | None:
    """Return the time; UTC if the text names no zone. Raises BadParameter."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write it like 2026-03-01 or 2026-03-01T09:00:00Z", param_hint="--since") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
