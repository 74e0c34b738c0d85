"""The entry points of `main.py`, in an instance whose clock is not that of the others."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import main

_ahead = timedelta(seconds=float(os.environ["SOAK_CLOCK_SECONDS"]))


def utc_now() -> datetime:
    return datetime.now(timezone.utc) + _ahead


main.utc_now = utc_now  # looked up when a part is built, and none is built yet

receive_webhook, store_record, run_job = main.receive_webhook, main.store_record, main.run_job
