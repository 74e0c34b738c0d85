"""`python -m simulator`: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
from collections.abc import Sequence

from simulator.config import Config
from simulator.options import DEFAULT, parser
from simulator.simulator import Simulator

ENDS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Return 0, or 2 if the simulator cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = vars(parser().parse_args(arguments))
    as_json = options.pop("ready_json")
    redirect_uris = tuple(options.pop("redirect_uri") or DEFAULT.redirect_uris)
    options["polls_until_complete"] = options.pop("polls")
    for name in ("lag_seconds", "id_style", "updated_at_shift_hours"):
        given = dict(options.pop(name))
        if "" in given:
            options[name] = given.pop("")
        options[f"{name}_of"] = given
    # Waited for below, not handled: a signal just before a wait, or one that another thread receives, would not end it.
    # The threads that are started from here inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        config = Config(**options, redirect_uris=redirect_uris)
        with Simulator(config) as simulator:
            _print(_ready(simulator, as_json=as_json))
            signal.sigwait(ENDS)
    except ValueError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _fail(f"port {options['port']} is in use: choose another with --port, or --port 0 for a free one")
        return _fail(str(error))
    return 0


def _ready(simulator: Simulator, *, as_json: bool) -> str:
    config = simulator.config
    if as_json:
        return json.dumps({"url": simulator.url, "seed": config.seed, "form": config.form})
    counts = simulator.clinic.store.counts()
    parts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    quota = config.quota or "no quota"
    return f"DrChrono simulator ready at {simulator.url} (seed {config.seed}, {config.form} form, {parts}, {quota})"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(problem: str) -> int:
    sys.stderr.write(f"simulator: {problem}\n")
    return 2
