"""A simulated DrChrono: a real HTTP server with generated records, to develop and test against.

It implements the integration guide (`form="guide"`) or the documented behaviour of the live service (`form="live"`).
It shares no code with the client, so that a mistake in one does not hide the same mistake in the other.

| package or module | contents |
|---|---|
| `practice/` | records and their history; generated data; background activity |
| `api/` | `/api`: routing, lists, bulk lists, queries, writes, read lag, visibility |
| `oauth/` | `/o`: authorization pages, tokens |
| `webhooks/` | deliveries and redeliveries |
| `faults/` | faults injected into answers |
| `quota` | rate limit windows |
| `simulation`, `simulator`, `control` | all parts together; the HTTP server; `/control` |
"""

from simulator.config import Config
from simulator.simulator import Simulator

__all__ = ["Config", "Simulator"]
