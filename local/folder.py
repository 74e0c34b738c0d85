"""The folder of a run: its locks, which keep a second run out, and how `--local` finds it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local import stack
from local.options import Options, Unusable


def folder_of(options: Options) -> Path:
    if options.folder is None:
        return Path(tempfile.mkdtemp(prefix="drchrono-local-"))
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return options.folder.resolve()


@contextmanager
def findable(options: Options, folder: Path, sync_seconds: float) -> Iterator[None]:
    """Within the block, write the settings to the file in which `python -m ops … --local` finds this run."""
    settings = {
        **stack.environment(options, folder),
        "WEBHOOK_URL": stack.url(options, "webhook"),
        "SYNC_SECONDS": f"{sync_seconds:g}",
    }
    file = _state(options) / "environment"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _state(options: Options) -> Path:
    state = options.home / ".local"
    state.mkdir(mode=0o700, exist_ok=True)
    return state


@contextmanager
def alone(options: Options, folder: Path) -> Iterator[None]:
    """Lock the folder, and for `run` also the checkout. Raises Unusable if another run holds one of the locks.

    Two runs on one folder would use up each other's refresh token. Of two runs in one checkout, `--local` would find
    only one.
    """
    with ExitStack() as locks:
        if options.command == "run":
            up = "another `make run` of this checkout is up (process {pid}): end it with Ctrl-C in its terminal first"
            locks.enter_context(_locked(_state(options) / "lock", up))
        locks.enter_context(_locked(folder / "lock", f"another `make run` works in {folder}: stop it first"))
        yield


@contextmanager
def _locked(file: Path, otherwise: str) -> Iterator[None]:
    """otherwise: the error if another process holds the lock. `{pid}` is replaced by its id. Raises Unusable."""
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Unusable(otherwise.replace("{pid}", lock.read() or "unknown")) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
