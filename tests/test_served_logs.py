"""Log lines as Cloud Logging gets them: one JSON object a line, also under load and with LOG_EXECUTION_ID set."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.served import served

AT_ONCE = 20  # what one instance of the receiver takes (terraform/functions.tf)
REQUESTS = 600
SECRET = "made-up-webhook-secret"

ENVIRONMENT = {
    "GCP_PROJECT": "clinic",
    "DRCHRONO_WEBHOOK_SECRET": SECRET,
    "THREADS": str(AT_ONCE),
    # Cloud Functions sets it. functions-framework then puts a wrapper around stdout.
    "LOG_EXECUTION_ID": "true",
    # Google's Python buildpack sets it. Each write then goes out by itself.
    "PYTHONUNBUFFERED": "TRUE",
}


def test_every_request_writes_one_whole_line_when_execution_ids_are_on(tmp_path: Path) -> None:
    """The span id is ours too: the framework's wrapper would put that of the older trace header in its place."""
    log = tmp_path / "receive_webhook.log"
    with served("receive_webhook", ENVIRONMENT, log) as port:

        def send(number: int) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            trace = f"{number + 1:032x}"
            headers = {
                "X-drchrono-signature": SECRET,
                "X-drchrono-event": "PING",
                "traceparent": f"00-{trace}-{number + 1:016x}-01",
                "X-Cloud-Trace-Context": f"{trace}/{10**9 + number};o=1",
            }
            try:
                connection.request("POST", "/", b"{}", headers)
                return connection.getresponse().status
            finally:
                connection.close()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            statuses = set(pool.map(send, range(REQUESTS)))

    assert statuses == {204}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {
        (line["logging.googleapis.com/trace"].rpartition("/")[2], line["logging.googleapis.com/spanId"])
        for line in lines
    } == {(f"{number + 1:032x}", f"{number + 1:016x}") for number in range(REQUESTS)}
    assert [line["message"] for line in lines] == ["webhook.ignored"] * REQUESTS
