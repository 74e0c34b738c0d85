"""Log lines: what is on the list gets out, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from shared.errors import StoreUnavailable
from shared.log import LONGEST_TEXT, log, log_context, log_crash

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_severity_and_label(capsys: pytest.CaptureFixture[str]) -> None:
    log("webhook.rejected", "WARNING", reason="bad_signature", status=401)
    assert lines(capsys) == [
        {"severity": "WARNING", "message": "webhook.rejected", "reason": "bad_signature", "status": 401}
    ]


def test_a_field_that_is_not_on_the_list_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    fields: dict[str, Any] = {"first_name": "Zebulon", "kind": "patients"}
    log("event.done", **fields)
    assert lines(capsys) == [{"severity": "INFO", "message": "event.done", "kind": "patients"}]


def test_texts_are_cut_and_odd_values_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    odd: dict[str, Any] = {"reason": "x" * 10_000, "count": object(), "id": "line\nbreak"}
    log("event.done", **odd)
    (line,) = lines(capsys)
    assert (len(line["reason"]), line["count"], line["id"]) == (LONGEST_TEXT, "unprintable", "line\nbreak")


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log("api.request", "DEBUG", status=200)
    assert lines(capsys) == []


def test_the_lines_of_a_request_carry_its_function_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with log_context("store_record", TRACE, "clinic"):
        log("event.done")
    log("event.done")
    inside, outside = lines(capsys)
    assert inside["function"] == "store_record"
    assert inside["logging.googleapis.com/trace"] == "projects/clinic/traces/4bf92f3577b34da6a3ce929d0e0e4736"
    assert (inside["logging.googleapis.com/spanId"], inside["logging.googleapis.com/trace_sampled"]) == (
        "00f067aa0ba902b7",
        True,
    )
    assert outside == {"severity": "INFO", "message": "event.done"}


@pytest.mark.parametrize("traceparent", ["", "Zebulon", TRACE + "-x", TRACE.upper()])
def test_what_is_no_trace_is_left_out(traceparent: str, capsys: pytest.CaptureFixture[str]) -> None:
    with log_context("run_job", traceparent, "clinic"):
        log("job.done")
    assert lines(capsys) == [{"severity": "INFO", "message": "job.done", "function": "run_job"}]


def test_a_crash_is_told_by_type_and_place_and_never_by_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        int("Zebulon")
    except ValueError as error:
        log_crash("store_record", error)
    (line,) = lines(capsys)
    assert (line["message"], line["error"], line["reason"]) == ("function.crashed", "ValueError", "")
    assert line["where"].startswith("test_a_crash_is_told")


def test_the_text_of_our_own_errors_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    log_crash("store_record", StoreUnavailable("Firestore: ServiceUnavailable"))
    assert lines(capsys)[0]["reason"] == "Firestore: ServiceUnavailable"


CRASHES = """
import logging, sys, threading
logging.basicConfig()
early = logging.getLogger("gunicorn.error"); early.addHandler(logging.StreamHandler()); early.propagate = False
from shared.log import take_over
take_over("INFO")
early.error("failed for Zebulon")
logging.getLogger("urllib3").warning("GET https://drchrono.com/api/patients?last_name=Zebulon")
logging.getLogger("google.api_core").info("Zebulon")
try:
    raise KeyError("Zebulon")
except KeyError:
    logging.getLogger("flask").exception("Zebulon")
thread = threading.Thread(target=lambda: int("Zebulon")); thread.start(); thread.join()
raise RuntimeError("Zebulon")
"""


def test_other_loggers_threads_and_uncaught_errors_are_under_the_same_rule() -> None:
    """In a process of its own: it is about what a process does as a whole."""
    ran = subprocess.run([sys.executable, "-c", CRASHES], capture_output=True, text=True, check=False)
    assert "Zebulon" not in ran.stdout + ran.stderr
    assert ran.stderr == ""
    told = [
        (line["message"], line.get("logger", line.get("function"))) for line in map(json.loads, ran.stdout.splitlines())
    ]
    assert told == [
        ("library.log", "gunicorn.error"),
        ("library.log", "urllib3"),
        ("library.log", "flask"),
        ("function.crashed", "thread"),
        ("function.crashed", "process"),
    ]
