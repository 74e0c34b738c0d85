"""The entry points of `main.py`, in an instance with a wrong clock."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from shared import clock

_ahead = timedelta(seconds=float(os.environ["SOAK_CLOCK_SECONDS"]))


def utc_now() -> datetime:
    return datetime.now(timezone.utc) + _ahead


clock.utc_now = utc_now  # before any module imports it

from main import receive_webhook, run_job, store_record  # noqa: E402, F401 (see above; the server looks for them here)
