"""Command line options of `python -m simulator`."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.config import APPROVALS, FORMS, ID_STYLES, LIST_ORDERS, PAGINGS, Config
from simulator.help import DESCRIPTION, EPILOG
from simulator.quota import LIMITERS

DEFAULT = Config()


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_general(parser)
    _add_records(parser)
    _add_reads(parser)
    _add_oauth(parser)
    _add_webhook(parser)
    _add_clock(parser)
    return parser


def _add_general(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    add("--port", type=int, default=0, help="port to listen on; 0 means any free port (0)")
    add(
        "--form",
        choices=FORMS,
        default="guide",
        help="behaviour: of the integration guide, of the guide with uuids for bulk lists, or of the live service "
        "(guide)",
    )
    add("--seed", type=int, default=1, help="seed of all generated records and random choices (1)")
    add("--json-log", type=Path, metavar="FILE", help="append one JSON line per request to this file")
    add("--ready-json", action="store_true", help="print the ready line as JSON")


def _add_records(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("records").add_argument
    add("--patients", type=int, default=200, metavar="N", help="number of patients (200)")
    add("--appointments", type=int, metavar="N", help="number of appointments (two per patient)")
    add(
        "--odd-appointments",
        type=int,
        default=0,
        metavar="N",
        help="appointments dated before 2009, years ahead, or not at all (0)",
    )
    add("--notes", type=int, metavar="N", help="number of clinical notes (one per two completed appointments)")
    add(
        "--children",
        type=int,
        default=2,
        metavar="N",
        help="average number of medications, problems and allergies (each) per patient (2)",
    )
    add(
        "--ids",
        type=_text_by_name,
        action="append",
        default=[],
        dest="id_style",
        metavar="[KIND=]STYLE",
        help=f"style of the ids of patients' records: {', '.join(ID_STYLES)}; repeatable (number)",
    )
    add("--timezone", default="US/Eastern", help="time zone of the practice (US/Eastern)")
    add(
        "--updated-at-shift",
        type=_number_by_name,
        action="append",
        default=[],
        dest="updated_at_shift_hours",
        metavar="[KIND=]HOURS",
        help="hours between the zone in which since is read and that of updated_at; repeatable (0)",
    )
    add(
        "--since-shift",
        type=float,
        default=0,
        dest="since_shift_hours",
        metavar="HOURS",
        help="how many hours later since is read than local time says (0)",
    )
    add("--activity", type=float, default=0, metavar="RATE", help="background changes per second (0)")


def _add_reads(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("limits and reads").add_argument
    add("--quota", default="", metavar="WINDOWS", help="rate limit: 100/minute, or 10/second,500/hour (no limit)")
    add("--limiter", choices=LIMITERS, default="fixed", help="how the windows count requests (fixed)")
    add("--burst", type=int, default=0, metavar="N", help="capacity of a bucket (the window's limit)")
    add(
        "--lag",
        type=_number_by_name,
        action="append",
        default=[],
        dest="lag_seconds",
        metavar="[ENDPOINT=]SECONDS",
        help="reads show the state of this long ago; an endpoint is KIND, KIND/READ or READ, where READ is single, "
        "list or bulk; repeatable (0)",
    )
    add(
        "--no-share-patients",
        dest="share_patients",
        action="store_false",
        help="the authorizing user sees only the patients of the first doctor (all patients)",
    )
    add(
        "--fault",
        type=_rule,
        action="append",
        default=[],
        dest="faults",
        metavar="JSON",
        help="fault rule in force from the start, as for /control/faults; repeatable (none)",
    )
    add("--paging", choices=PAGINGS, default="cursor", help="offset: deletions move records between pages (cursor)")
    add("--list-order", choices=LIST_ORDERS, default="oldest", help="order of plain lists with offset paging (oldest)")
    add("--polls", type=int, default=1, metavar="N", help="polls before a bulk list is complete (1)")
    add(
        "--missing-filter",
        choices=("400", "empty"),
        default="400",
        help="answer to an appointment list without a date or since filter (400)",
    )


def _rule(text: str) -> dict[str, Any]:
    rule = json.loads(text)
    if not isinstance(rule, dict):
        raise ValueError("a fault rule is a JSON object")
    return rule


def _number_by_name(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    return name, float(number)


def _text_by_name(text: str) -> tuple[str, str]:
    name, _, value = text.rpartition("=")
    return name, value


def _add_oauth(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("OAuth").add_argument
    add("--client-id", default=DEFAULT.client_id, help=f"({DEFAULT.client_id})")
    add("--client-secret", default=DEFAULT.client_secret, help=f"({DEFAULT.client_secret})")
    add(
        "--redirect-uri",
        action="append",
        metavar="URI",
        help=f"allowed redirect URI; repeatable ({DEFAULT.redirect_uris[0]})",
    )
    add("--approve", choices=APPROVALS, default="auto", help="approve at once, show a page, or deny (auto)")
    add("--token-seconds", type=int, metavar="N", help="lifetime of an access token (3600; live form: 172800)")
    add(
        "--grace-seconds",
        type=float,
        default=0,
        metavar="N",
        help="how long a used refresh token still returns the new pair (0)",
    )


def _add_webhook(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("webhook").add_argument
    add("--webhook-url", metavar="URL", help="receiver of the webhooks (none)")
    add("--webhook-secret", default=DEFAULT.webhook_secret, help=f"({DEFAULT.webhook_secret})")


def _add_clock(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("clock").add_argument
    add("--clock", choices=("real", "virtual"), default="real", help="virtual: moves only by /control/clock (real)")
    add("--start", type=datetime.fromisoformat, metavar="TIME", help="first instant, ISO 8601 with offset (now)")
    add("--speed", type=float, default=1, metavar="X", help="simulator seconds per real second (1)")
