"""Checks, on a sample, whether a first pass over the lists of the practice shows the same as patients' own lists."""

from __future__ import annotations

from contextlib import suppress

from shared.documents import Where
from shared.drchrono.ids import spellings
from shared.drchrono.kinds import KINDS, Kind
from shared.errors import DeletionsHeld, DrChronoError
from shared.jobs.run import Parts, Run
from shared.jobs.stopping import stops
from shared.queue.entries import Target
from shared.records.outcome import Known
from shared.records.store import Source

# For how many patients the first pass is compared with the patient's own list, and how many of these may differ: a
# patient may have a new record since.
SAMPLE = 5
MOST_DIFFERENT = 1

# The sample is taken from this many patients.
MOST_PATIENTS = 200


def differs(run: Run, kind: Kind) -> bool:
    """Return whether patients' own lists show records that the pass did not. Stores these records. Raises Stopped."""
    parts = run.parts
    patients = parts.records.keys(KINDS["patients"], after=None, most=MOST_PATIENTS)
    different = 0
    for patient in patients[:: max(1, len(patients) // SAMPLE)][:SAMPLE]:
        run.check()
        before = _kept(parts, kind, patient)
        # A list that cannot be fetched is no evidence against the pass.
        with suppress(DrChronoError, DeletionsHeld), stops():
            parts.children.run(Target(kind.name, patient, "patient"), Known(parts.now()), Source("reconcile"))
        different += bool(_kept(parts, kind, patient) - before)
    return different > MOST_DIFFERENT


def _kept(parts: Parts, kind: Kind, patient: str) -> set[str]:
    owners = [[Where("patient", "==", value)] for value in spellings(patient)]
    return {key for where in owners for key, _ in parts.records.living(kind, where)}
