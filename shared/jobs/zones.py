"""Bring the instants of stored appointments up to date after a doctor's time zone became known, or changed.

This costs no request, and no work if no zone is new. The doctors are checked once after each list of them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.drchrono.ids import spellings
from shared.jobs.run import Run
from shared.log import log
from shared.records.zones import Doctor, ZonesState

# A writer reads the doctor's zone and writes the appointment within seconds. After this time, no writer still uses a
# zone that it read before the doctor's record changed, so an update made then stays correct.
SETTLED = timedelta(minutes=10)


def apply_zones(run: Run) -> None:
    """Update the appointments of each doctor whose zone is not applied yet. Continues where the last run stopped.

    Raises Stopped.
    """
    parts = run.parts
    listed, state = parts.checkpoints.get("doctors").synced_at, parts.zones.state()
    if listed is None or (state.checked is not None and state.checked >= listed):
        return
    settled = True
    for doctor in list(parts.zones.of_doctors()):
        if state.applied.get(doctor.id) == doctor.zone:
            continue
        # Until the walk ends, both zones are in use. If the earlier one returns meanwhile, it counts as new.
        applied = {other: zone for other, zone in state.applied.items() if other != doctor.id}
        if len(applied) < len(state.applied):
            state = replace(state, applied=applied)
            parts.zones.save(state)
        if doctor.stored_at > parts.now() - SETTLED:
            settled = False
        else:
            state = _apply(run, doctor, state)
    if settled:
        parts.zones.save(replace(state, checked=listed, walk=None))


def _apply(run: Run, doctor: Doctor, state: ZonesState) -> ZonesState:
    """Update the appointments of one doctor, and return the state after it."""
    zones, changed = run.parts.zones, 0
    walk = state.walk or {}
    if (walk.get("doctor"), walk.get("zone")) != (doctor.id, doctor.zone):
        walk = {}
    values = spellings(doctor.id)
    if walk and walk["value"] in values:
        values = values[values.index(walk["value"]) :]
    else:
        walk = {}
    after = walk.get("after")
    for value in values:
        while True:
            run.check()
            more, after = zones.reschedule(value, after)
            changed += more
            if after is None:
                break
            here = {"doctor": doctor.id, "zone": doctor.zone, "value": value, "after": after}
            state = replace(state, walk=here)
            zones.save(state)
    state = replace(state, applied={**state.applied, doctor.id: doctor.zone}, walk=None)
    zones.save(state)
    log("zone.applied", kind="appointments", id=doctor.id, count=changed)
    return state
