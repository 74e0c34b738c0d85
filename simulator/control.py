"""The control interface under `/control/`, for tests, benchmarks and demonstrations.

It answers on the loopback interface only, and is neither authorized nor throttled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulator.api.paging import Paging
from simulator.localtime import utc_text
from simulator.messages import NOT_FOUND, RefusedError, Request, Response, answer
from simulator.practice.kinds import KINDS
from simulator.practice.lookup import NoSuchRecordError
from simulator.practice.store import unsigned
from simulator.quota import Window, parse_quota
from simulator.simulation import Simulation

Given = dict[str, Any]


class Control:
    """Answers requests under `/control/`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._actions: dict[tuple[str, str], Callable[[Given], Any]] = {
            ("GET", "health"): lambda given: {"ok": True},
            ("GET", "config"): lambda given: simulation.config.as_json() | {"webhook": simulation.webhooks.as_json()},
            ("GET", "truth"): lambda given: simulation.clinic.store.counts(),
            ("GET", "stats"): lambda given: simulation.stats(),
            ("POST", "stats/reset"): lambda given: self._run(simulation.statistics.reset),
            ("POST", "change"): lambda given: simulation.change(**given),
            ("POST", "create"): lambda given: simulation.create(**given),
            ("POST", "delete"): lambda given: simulation.delete(**given),
            ("POST", "lock"): lambda given: simulation.lock(**given),
            ("POST", "webhook"): lambda given: self._configure_webhook(given),
            ("POST", "webhook/verify"): lambda given: simulation.verify_webhook(),
            ("POST", "webhook/send"): lambda given: simulation.send_webhook(**given),
            ("POST", "faults"): self._set_faults,
            ("DELETE", "faults"): lambda given: self._run(lambda: simulation.faults.set([], replace=True)),
            ("POST", "tokens"): self._tokens,
            ("POST", "clock"): self._clock,
            ("GET", "clock"): lambda given: self._clock({}),
            ("POST", "quota"): self._quota,
            ("GET", "lag"): lambda given: simulation.lag.as_json(),
            ("POST", "lag"): self._lag,
            ("GET", "visibility"): lambda given: simulation.visibility.as_json(),
            ("POST", "visibility"): self._visibility,
            ("DELETE", "visibility"): lambda given: self._visibility({"hidden": [], "only_doctor": None}),
            ("POST", "paging"): self._paging,
            ("POST", "activity"): self._activity,
            ("POST", "settle"): lambda given: {"settled": simulation.settle()},
        }

    def handle(self, request: Request) -> Response:
        if not request.local:
            raise RefusedError(403, {"error": "the control interface answers on the loopback interface only"})
        name = request.path.removeprefix("/control").strip("/")
        if request.method == "GET" and name.startswith("truth/"):
            return self._truth(*name.split("/")[1:])
        action = self._actions.get((request.method, name))
        if action is None:
            raise RefusedError(404, {"error": f"there is no {request.method} /control/{name}"})
        try:
            given = json.loads(request.body or b"{}")
            if not isinstance(given, dict):
                raise ValueError("a JSON object is expected")
            return answer(200, action(given))
        except NoSuchRecordError as error:
            raise RefusedError(404, {"error": str(error)}) from None
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(400, {"error": str(error)}) from None

    def _truth(self, kind: str, key: str | None = None, *rest: str) -> Response:
        """Return a record, or a kind as NDJSON, as a verbose GET shows it but without link signatures."""
        if kind not in KINDS or rest:
            raise RefusedError(404, NOT_FOUND)
        store = self._simulation.clinic.store
        if key is not None:
            record = store.get(kind, key)
            if record is None:
                raise RefusedError(404, NOT_FOUND)
            return Response(status=200, body=unsigned(record.current.json(verbose=True)))
        with store.lock:
            lines = [record.current.json(verbose=True) + b"\n" for record in store.existing(kind)]
        return Response(status=200, body=unsigned(b"".join(lines)), content_type="application/x-ndjson")

    def _configure_webhook(self, given: Given) -> Given:
        self._simulation.configure_webhook(**given)
        return self._simulation.webhooks.as_json()

    def _set_faults(self, given: Given) -> Given:
        rules = self._simulation.faults.set(given["rules"], replace=bool(given.get("replace", True)))
        return {"rules": len(rules)}

    def _tokens(self, given: Given) -> Any:
        tokens = self._simulation.tokens
        match given.get("action"):
            case "issue":
                return tokens.answer(tokens.issue(str(given.get("scope", ""))))
            case "expire" | "expire_access":
                return self._run(tokens.expire_access)
            case "revoke":
                return self._run(tokens.revoke_all)
        raise ValueError("action is expire, expire_access, revoke or issue")

    def _clock(self, given: Given) -> Given:
        clock = self._simulation.clock
        if "speed" in given:
            clock.set_speed(float(given["speed"]))
        if "advance" in given:
            clock.advance(float(given["advance"]))
        return {"now": utc_text(clock.now())}

    def _quota(self, given: Given) -> Given:
        windows = given["windows"]
        made = parse_quota(windows) if isinstance(windows, str) else tuple(Window(**window) for window in windows)
        self._simulation.quota.set(made)
        return {"windows": len(made)}

    def _lag(self, given: Given) -> Given:
        seconds = float(given["seconds"])
        self._simulation.lag.set(seconds, kind=given.get("kind"), read=given.get("read"))
        return {"seconds": seconds}

    def _visibility(self, given: Given) -> Given:
        visibility = self._simulation.visibility
        if unknown := set(given) - {"hidden", "only_doctor"}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if "hidden" in given:
            visibility.set(given["hidden"])
        if "only_doctor" in given:
            visibility.only_doctor = given["only_doctor"]
        return visibility.as_json()

    def _paging(self, given: Given) -> Given:
        paging = Paging(method=given["paging"], order=given.get("order", "id"))
        self._simulation.lists.paging = paging
        return {"paging": paging.method, "order": paging.order}

    def _activity(self, given: Given) -> Given:
        self._simulation.activity.set(float(given["per_second"]))
        return {"per_second": self._simulation.activity.per_second}

    def _run(self, action: Callable[[], object]) -> Given:
        action()
        return {"ok": True}
