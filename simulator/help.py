"""The texts around the options in `python -m simulator --help`: examples, control interface, fault rules."""

from __future__ import annotations

DESCRIPTION = """\
Run a simulated DrChrono with generated patients: REST API, OAuth, webhooks,
rate limits and faults.

Every option has a default, shown in parentheses. Tests and demonstrations
change records and settings at run time through HTTP requests to /control/, on
the loopback interface only.
"""
EPILOG = """\
examples:
  python -m simulator --port 8090 --quota 100/minute
  python -m simulator --form live --quota 10/second,500/hour --activity 0.5
  curl -s localhost:8090/control/truth
  curl -s -X POST localhost:8090/control/change -d '{"kind": "patients"}'

control interface:
  GET    truth, truth/KIND[/ID]        record counts; the current records
  GET    health, config, stats, clock  state of the simulator
  POST   change, create, delete, lock  {"kind": "patients", "id": ...,
                                       "fields": {...}, "webhook": true}
  POST   webhook, webhook/verify       {"url": ..., "secret": ..., "lose": 0.1}
  POST   webhook/send                  {"event": ..., "id": ...}
  GET    faults                        fault rules, and how often they applied
  POST   faults                        {"rules": [RULE, ...], "replace": true}
  DELETE faults                        remove all fault rules
  POST   tokens                        {"action": "issue" | "expire" | "revoke"}
  POST   clock                         {"advance": 60}
  POST   quota                         {"windows": "100/minute"}
  POST   activity                      {"per_second": 2}
  GET    lag, visibility               read lag by kind and read; hidden records
  POST   lag                           {"seconds": 5, "kind": "patients",
                                       "read": "list"}
  POST   visibility                    {"hidden": [{"kind": "problems",
                                       "patient": ..., "single": "404"}]};
                                       {"only_doctor": ...}
  DELETE visibility                    show all records
  POST   paging                        {"paging": "offset", "order": "newest"}
  POST   settle                        wait for webhook deliveries
  POST   stats/reset                   reset the counters

fault rules, which apply forever unless "times", "between" or "probability" is
given (see simulator/faults/rules.py):
  {"match": {"path": "/api/", "method": "GET"}, "fault": "503", "times": 2}
  {"match": {"kind": "patients", "read": "single", "id": 90000005},
   "fault": "answer", "status": 404, "body": {}}
  {"match": {"kind": "patients", "read": "bulk", "page": 2},
   "fault": "malformed"}
  {"match": {"kind": "medications", "wide": true}, "fault": "504"}
  {"match": {"kind": "problems", "page": 2}, "fault": "next", "link": "first"}
  {"match": {"kind": "patients", "page": 1}, "fault": "then",
   "acts": [{"action": "delete", "kind": "patients"}]}
"""
