"""The options that several commands take."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

Project = Annotated[
    str | None,
    typer.Option("--project", metavar="P", help="The Google Cloud project (default: GCP_PROJECT, else gcloud's)."),
]
Local = Annotated[bool, typer.Option("--local", help="The system that `make run` keeps up on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
KindName = Annotated[str | None, typer.Option("--kind", metavar="K", help="Only this kind, such as appointments.")]


def chosen(kind: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if kind is None:
        return known
    if kind not in known:
        raise typer.BadParameter(f"choose one of {', '.join(known)}", param_hint="--kind")
    return (kind,)


def day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise typer.BadParameter("write it like 2024-01-01", param_hint="--since") from None
