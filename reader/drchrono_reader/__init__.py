"""Read the copy of a practice's DrChrono records.

from google.cloud import firestore
from drchrono_reader import Copy

copy = Copy(firestore.Client())
patient = copy.patients.get(90000042)
for visit in copy.appointments.where("scheduled_time", ">=", "2026-03-10"):
    print(visit["scheduled_time"], visit["reason"])
if not copy.is_complete("appointments", at=yesterday):
    print("Some changes of yesterday are not in the copy yet.")
"""

from drchrono_reader.chart import CHART_KINDS, Chart
from drchrono_reader.copy import KINDS, Copy
from drchrono_reader.embedded import EmbeddedFile
from drchrono_reader.outbox import Outbox, Written
from drchrono_reader.query import Page, Query, Records
from drchrono_reader.record import Record
from drchrono_reader.status import Status
from drchrono_reader.store import Operator

__all__ = ["CHART_KINDS", "KINDS", "Chart", "Copy", "EmbeddedFile", "Operator", "Page", "Query", "Record", "Records"]
__all__ += ["Outbox", "Status", "Written"]
