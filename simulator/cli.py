"""The simulator as a program."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import Event

from simulator.config import APPROVALS, FORMS, Config
from simulator.quota import LIMITERS
from simulator.simulator import Simulator

_DEFAULT = Config()
_EPILOG = """\
examples:
  python -m simulator --port 8090 --quota 100/minute
  python -m simulator --form live --quota 10/second,500/hour --patients 2000 --activity 0.5
  curl -s localhost:8090/control/truth
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A simulated DrChrono with made-up patients: REST API, OAuth, webhooks, faults.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    add("--port", type=int, default=0, help="port; 0 takes a free one (0)")
    add(
        "--form",
        choices=FORMS,
        default="guide",
        help="which behaviour: the guide's, its uuid variant, the live one (guide)",
    )
    add("--seed", type=int, default=1, help="the same seed makes the same records and the same luck (1)")

    data = parser.add_argument_group("records")
    data.add_argument("--patients", type=int, default=200, metavar="N", help="(200)")
    data.add_argument("--appointments", type=int, metavar="N", help="(two per patient)")
    data.add_argument("--notes", type=int, metavar="N", help="clinical notes (one per second visit that took place)")
    data.add_argument(
        "--children", type=int, default=2, metavar="N", help="medications, problems, allergies: each per patient (2)"
    )
    data.add_argument("--timezone", default="US/Eastern", help="zone of the practice (US/Eastern)")
    data.add_argument("--activity", type=float, default=0, metavar="X", help="background changes per second (0)")

    limits = parser.add_argument_group("limits")
    limits.add_argument("--quota", default="", metavar="WINDOWS", help="100/minute, or 10/second,500/hour (no limit)")
    limits.add_argument("--limiter", choices=LIMITERS, default="fixed", help="how windows count (fixed)")
    limits.add_argument("--burst", type=int, default=0, metavar="N", help="capacity of a bucket (the window's limit)")
    limits.add_argument("--lag", type=float, default=0, metavar="SECONDS", help="how far reads are behind (0)")
    limits.add_argument("--polls", type=int, default=1, metavar="N", help="polls until a bulk list is complete (1)")

    limits.add_argument(
        "--missing-filter", choices=("400", "empty"), default="400", help="unbounded appointment lists (400)"
    )

    oauth = parser.add_argument_group("OAuth")
    oauth.add_argument("--client-id", default=_DEFAULT.client_id, help=f"({_DEFAULT.client_id})")
    oauth.add_argument("--client-secret", default=_DEFAULT.client_secret, help=f"({_DEFAULT.client_secret})")
    oauth.add_argument(
        "--redirect-uri", action="append", metavar="URI", help=f"repeatable ({_DEFAULT.redirect_uris[0]})"
    )
    oauth.add_argument("--approve", choices=APPROVALS, default="auto", help="what the authorize page does (auto)")
    oauth.add_argument("--token-seconds", type=int, metavar="N", help="life of an access token (3600; live 172800)")
    oauth.add_argument(
        "--grace-seconds", type=float, default=0, metavar="N", help="a spent refresh token still works (0)"
    )

    webhook = parser.add_argument_group("webhook")
    webhook.add_argument("--webhook-url", metavar="URL", help="where changes are announced (nowhere)")
    webhook.add_argument("--webhook-secret", default=_DEFAULT.webhook_secret, help=f"({_DEFAULT.webhook_secret})")

    clock = parser.add_argument_group("clock")
    clock.add_argument(
        "--clock", choices=("real", "virtual"), default="real", help="virtual: moved by /control/clock (real)"
    )
    clock.add_argument("--start", type=datetime.fromisoformat, metavar="TIME", help="first instant, with offset")
    clock.add_argument("--speed", type=float, default=1, metavar="X", help="simulator seconds per second (1)")

    add("--json-log", type=Path, metavar="FILE", help="append one JSON line per request")
    add("--ready-json", action="store_true", help="announce readiness as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. 2: it could not start."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = vars(parser().parse_args(arguments))
    as_json = options.pop("ready_json")
    redirect_uris = tuple(options.pop("redirect_uri") or _DEFAULT.redirect_uris)
    renamed = {"polls": "polls_until_complete", "lag": "lag_seconds"}
    options = {renamed.get(name, name): value for name, value in options.items()}
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = Config(**options, redirect_uris=redirect_uris)
        with Simulator(config) as simulator:
            _say(_ready(simulator, as_json=as_json))
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


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(problem: str) -> int:
    sys.stderr.write(f"simulator: {problem}\n")
    return 2
