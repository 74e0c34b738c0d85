"""One command's screen and system, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from os import environ
from pathlib import Path

import typer

from ops.screen import Screen
from ops.target_system import STORE_REMEDY, TargetSystem, local_target, project_target
from shared.errors import SettingsError, StoreUnavailable, SyncError
from workstation.authorization import AuthorizationFailed

OUT_OF_ORDER = 1  # wrong use is click's 2


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@contextmanager
def session(
    project: str | None, local: bool, *, webhook_url: str | None = None
) -> Iterator[tuple[Screen, TargetSystem]]:
    """The screen and the system for one command. What goes wrong in it becomes a sentence and exit code 1."""
    if project and local:
        raise typer.BadParameter("it is one or the other", param_hint="--project, --local")
    screen = Screen()
    try:
        # Log lines are for Cloud Logging; here they would be in the middle of a table, or of JSON.
        with contextlib.redirect_stdout(io.StringIO()):
            target = local_target() if local else project_target(project, environ)
            yield screen, replace(target, receiver=webhook_url or "")
            screen.console.file.flush()  # here, where a reader that has gone is no defect
    except SettingsError as error:
        _fail(*error.problems)
    except StoreUnavailable as error:
        _fail(f"{error}: {STORE_REMEDY}")
    except (SyncError, AuthorizationFailed) as error:
        _fail(str(error))
    except BrokenPipeError:  # `ops status | head`: typer ends it quietly
        raise
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # a traceback would show what was being handled
        _fail(f"{place(error)}: this is a defect of the program; please report this line")


def place(error: Exception) -> str:
    """Of an error that is a defect: its type and where it was raised. Its text may hold what was being handled."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"


def _fail(*problems: str) -> None:
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    raise typer.Exit(OUT_OF_ORDER)
