"""The options that several commands take."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import urlsplit

import typer

from shared.drchrono.kinds import KINDS, Kind

Project = Annotated[
    str | None,
    typer.Option("--project", metavar="P", help="The Google Cloud project (default: GCP_PROJECT, else gcloud's)."),
]
Local = Annotated[bool, typer.Option("--local", help="The system that `make run` runs on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
KindName = Annotated[str | None, typer.Option("--kind", metavar="K", help="Only this kind, for example appointments.")]


_NO_KIND = "{} is not a kind of record"


def chosen(kind: str | None, known: tuple[str, ...], hint: str = "--kind") -> tuple[str, ...]:
    """Return the kinds that a command works on. known: the kinds that it supports. Raises BadParameter."""
    if kind is None:
        return known
    if kind not in known:
        because, others = (
            (f"{kind} {_way(KINDS[kind])}", "") if kind in KINDS else (_NO_KIND.format(kind), _others(known))
        )
        raise typer.BadParameter(f"{because}: choose one of {', '.join(known)}{others}", param_hint=hint)
    return (kind,)


def _way(kind: Kind) -> str:
    return "are listed whole once a day" if kind.whole else "are fetched with their patients"


def _others(known: tuple[str, ...]) -> str:
    """Return why the other kinds cannot be chosen."""
    ways: dict[str, list[str]] = {}
    for kind in KINDS.values():
        if kind.name not in known:
            ways.setdefault(_way(kind), []).append(kind.name)
    return "".join(f"; {', '.join(names)} {way}" for way, names in ways.items())


def past_day(text: str | None, today: date) -> date | None:
    """Return the date. Raises BadParameter if it is invalid or after `today` (UTC)."""
    try:
        day = date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise typer.BadParameter("write it like 2024-01-01", param_hint="--since") from None
    if day is not None and day > today:
        raise typer.BadParameter(f"{day} is in the future (today is {today} UTC)", param_hint="--since")
    return day


def web_address(text: str | None) -> str | None:
    """Return the address. Raises BadParameter if a browser could not open it."""
    try:
        parts = urlsplit(text or "https://none")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise typer.BadParameter("it is not an address: write it like https://receive-webhook-…", param_hint="--url")
    return text
