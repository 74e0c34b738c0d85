"""The program `python -m ops`: its commands in the order in which `--help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from console.command import console
from ops import commands_existing, commands_look, commands_repair, commands_write
from ops.version import version

app = typer.Typer(
    help="Authorize, look at and repair the copy of DrChrono's records.",
    epilog="If something is wrong, start with `doctor`. docs/operating.md explains each alert.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(version())
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Authorize, look at and repair the copy of DrChrono's records."""


app.command()(commands_look.authorize)
app.command()(commands_look.status)
app.command()(commands_look.doctor)
app.command()(commands_existing.backfill)
app.command()(commands_repair.retry)
app.command("accept-deletions")(commands_repair.accept_deletions)
app.command("dead-letters")(commands_repair.dead_letters)
app.command()(commands_existing.replay)
app.command()(commands_look.show)
app.command()(console)
app.command()(commands_write.outbox)
app.command()(commands_write.put)
