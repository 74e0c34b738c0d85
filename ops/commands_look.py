"""The commands that inspect: `authorize`, `status`, `doctor` and `show`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ops.options import Json, Local, Project, web_address
from ops.screen import BAD, DIM, GOOD
from ops.session import OUT_OF_ORDER, session
from shared.clock import utc_now


def authorize(
    paste: Annotated[bool, typer.Option("--paste", help="Paste the address from another browser.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the browser, if there is one.")] = True,
    project: Project = None,
    local: Local = False,
) -> None:
    """Authorize the system as a DrChrono user.

    Run it again whenever an alert asks for it. Prints the address to open, waits for the redirect, and stores the token
    pair. Shows when the token expires and what was granted, never a token. Replaces any earlier authorization.
    """
    from ops.authorize import authorize

    with session(project, local) as (screen, target):
        authorize(screen, target, paste=paste, browser=browser)


def status(project: Project = None, local: Local = False, json: Json = False) -> None:
    """Show how complete the copy is, and what is pending.

    Also shows the state of token, quota, dead letters and jobs.
    """
    from ops.status import status
    from ops.status_screen import show_status

    with session(project, local) as (screen, target):
        found = status(target, utc_now())
        if json:
            screen.json(found.as_json())
        else:
            show_status(screen, found, target)


def doctor(
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="URL of the receiver, if not found.")] = None,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """Check all dependencies of the system, and name remedies.

    Exit code 0: no check failed. 1: at least one failed.
    """
    from ops.doctor import examine

    with session(project, local, webhook_url=web_address(url)) as (screen, target):
        results = []
        for result in examine(target, utc_now):
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


def show(
    kind: Annotated[str, typer.Argument(help="For example patients.")],
    record: Annotated[str, typer.Argument(metavar="ID", help="DrChrono's id of the record.")],
    diff: Annotated[bool, typer.Option("--diff", help="Show the differences from DrChrono (one request).")] = False,
    versions: Annotated[
        bool, typer.Option("--history", help="Show its versions and changed fields, no values.")
    ] = False,
    project: Project = None,
    local: Local = False,
    json: Json = False,
) -> None:
    """Show one stored record, or compare it with DrChrono's.

    The output contains patient data. Exit code 0: stored, and with --diff equal. 1: not stored, or different.
    """
    from ops import compare
    from ops.history import history
    from ops.show_screen import show_compared, show_history, show_missing, show_stored

    with session(project, local) as (screen, target):
        row = compare.kind_of(kind)
        if versions:
            show_history(screen, history(target.system.documents(), row, record), json=json)
            return
        try:
            stored = compare.stored(target.system.documents(), target.system.queue(), row, record)
        except compare.NotStored as missing:
            if not diff:
                raise
            there = compare.fetch(target.system.drchrono(), row, record) is not None
            show_missing(screen, target, f"{kind}/{record}", str(missing), there=there, json=json)
            raise typer.Exit(OUT_OF_ORDER) from None
        if not diff:
            show_stored(screen, stored, utc_now(), json=json)
            return
        compared = compare.compared(stored, compare.fetch(target.system.drchrono(), row, record))
        show_compared(screen, target, f"{kind}/{record}", compared, json=json)
        if not compared.equal:
            raise typer.Exit(OUT_OF_ORDER)
