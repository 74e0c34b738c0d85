"""Prints commands to try on a running system, to paste into another terminal."""

from __future__ import annotations

from pathlib import Path

from local import stack
from local.options import Options
from local.terminal import Terminal
from shared.wiring.system import System


def say_how_to_go_on(options: Options, terminal: Terminal, folder: Path, system: System) -> None:
    patient = next((key for key, _ in system.documents().query("patients", limit=1)), "1")
    webhook, jobs = stack.url(options, "webhook"), stack.url(options, "jobs")
    terminal.heading("It stays up until Ctrl-C. From another terminal:")
    if options.url is None:
        secret = options.settings["DRCHRONO_WEBHOOK_SECRET"]
        terminal.long("# sign a webhook and send it")
        terminal.long(f"""BODY='{{"event":"PATIENT_MODIFY","object_id":{patient},"webhook_id":"by-hand"}}'""")
        terminal.long(f"""SIGNATURE=$(printf %s "$BODY" |\n  openssl dgst -sha256 -hmac {secret} -r | cut -d' ' -f1)""")
        terminal.long(f"""curl -i -H "X-drchrono-signature: $SIGNATURE" -d "$BODY" {webhook}""")
        terminal.long("# change a record at DrChrono")
        terminal.long(
            f"""curl -d '{{"kind":"patients","id":{patient},"fields":{{"city":"Springfield"}}}}' \\\n"""
            f"  {stack.url(options, 'simulator')}/control/change"
        )
    else:
        terminal.long(
            f"# webhooks get here only through a tunnel of yours to {webhook};\n# without one, syncs find changes"
        )
    terminal.long("# look at a document")
    if options.installed is None:
        terminal.long(f".venv/bin/python -m local show patients/{patient} \\\n  --folder {folder}")
    else:
        firestore, project = stack.url(options, "firestore"), options.settings["GCP_PROJECT"]
        terminal.long(f"curl '{firestore}/v1/projects/{project}/databases/(default)/documents/patients/{patient}'")
    terminal.long("# read the copy as a program does")
    terminal.long(
        "export $(grep -E '^(EMBEDDED_FOLDER|FIRESTORE_EMULATOR_HOST|GCP_PROJECT)=' \\\n  .local/environment)"
    )
    terminal.long(f"PYTHONPATH=reader .venv/bin/python examples/chart.py {patient}")
    terminal.long("# run a job: sync, backfill, reconcile or refresh-token")
    terminal.long(f"""curl -d '{{"job":"reconcile"}}' {jobs}""")
    terminal.long("# see how complete the copy is, and what waits for what")
    terminal.long(".venv/bin/python -m ops status --local")
    terminal.long(f"# logs\ntail -f {folder}/*.log\n")
