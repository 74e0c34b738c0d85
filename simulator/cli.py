"""`python -m simulator`: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
from collections.abc import Sequence
from threading import Event

from simulator.config import Config
from simulator.options import DEFAULT, parser
from simulator.simulator import Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Return 0, or 2 if the simulator cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = vars(parser().parse_args(arguments))
    as_json = options.pop("ready_json")
    redirect_uris = tuple(options.pop("redirect_uri") or DEFAULT.redirect_uris)
    options["polls_until_complete"] = options.pop("polls")
    lag = dict(options.pop("lag"))
    options |= {"lag_seconds": lag.pop("", 0.0), "lag": lag}
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = Config(**options, redirect_uris=redirect_uris)
        with Simulator(config) as simulator:
            _print(_ready(simulator, as_json=as_json))
            stop.wait()
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
