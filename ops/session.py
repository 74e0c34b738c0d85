"""The screen and the system of one command. The only place that turns an error into a sentence and an exit code."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import environ
from pathlib import Path

import typer

from ops.screen import Screen
from ops.target_system import STORE_REMEDY, TargetSystem, local_target, project_target
from shared.errors import SettingsError, StoreUnavailable, SyncError
from workstation.authorization import AuthorizationFailed

OUT_OF_ORDER = 1  # click uses 2 for wrong usage


@contextmanager
def session(
    project: str | None, local: bool, *, webhook_url: str | None = None
) -> Iterator[tuple[Screen, TargetSystem]]:
    """Yield the screen and the system for one command. An error in the block becomes a sentence and exit code 1."""
    if project and local:
        raise typer.BadParameter("give only one of them", param_hint="--project, --local")
    screen = Screen()
    try:
        # Log lines are for Cloud Logging. Here they would disturb tables and JSON.
        with contextlib.redirect_stdout(io.StringIO()):
            target = local_target() if local else project_target(project, environ)
            yield screen, replace(target, receiver=webhook_url or "")
            screen.console.file.flush()  # flush here, where a reader that has closed the pipe is not an error
    except SettingsError as error:
        _fail(*error.problems)
    except StoreUnavailable as error:
        _fail(f"{error}: {STORE_REMEDY}")
    except (SyncError, AuthorizationFailed) as error:
        _fail(str(error))
    except BrokenPipeError:  # `ops status | head`: typer exits quietly
        raise
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # a traceback would show the data being handled
        _fail(f"{location(error)}: this is a bug in the program; please report this line")


def location(error: Exception) -> str:
    """Return the type of an unexpected error and where it was raised. Its text may contain the data being handled."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"


def _fail(*problems: str) -> None:
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    raise typer.Exit(OUT_OF_ORDER)
