"""Print a patient's chart, and whether it is known to be complete.

    pip install ./reader
    python examples/chart.py 90000042

It reads the copy that the environment names: GCP_PROJECT and FIRESTORE_DATABASE for a deployment, or the settings in
`.local/environment` for what `make run` runs (reader/README.md, "On one machine"). Exit codes: 0; 1 if there is no such
patient; 3 if the chart may lack a change that is more than an hour old.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from drchrono_reader import Chart, Copy, Record

FRESH = timedelta(hours=1)


def main(patient: str) -> int:
    now = datetime.now(timezone.utc)
    chart = Copy.from_environment(os.environ).chart(patient)
    if chart.patient is None:
        print(f"The copy has no patient {patient}.")
        return 1
    show(chart)
    incomplete = chart.incomplete(at=now - FRESH)
    if incomplete:
        print(f"Not known to be complete: {', '.join(incomplete)}. Look into DrChrono.")
        return 3
    print(f"Complete up to {chart.complete_until:%Y-%m-%d %H:%M} UTC.")
    return 0


def show(chart: Chart) -> None:
    patient: Mapping[str, Any] = chart.patient or {}
    print(f"{patient.get('last_name')}, {patient.get('first_name')}, born {patient.get('date_of_birth')}")
    print(f"Allergies:    {names(chart.allergies, 'reaction')}")
    print(f"Medications:  {names(chart.medications, 'name')}")
    print(f"Problems:     {names(chart.problems, 'name')}")
    visits = sorted(chart.appointments, key=lambda visit: str(visit.get("scheduled_time")))
    print(f"Appointments: {len(visits)}, the latest {visits[-1].get('scheduled_time') if visits else None}")
    print(f"Notes:        {len(chart.clinical_notes)}")


def names(records: Iterable[Record], field: str) -> str:
    return ", ".join(str(one.get(field)) for one in records if one.get("status") == "active") or "none"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/chart.py PATIENT_ID")
    sys.exit(main(sys.argv[1]))
