"""All errors of this system, as one tree.

    SyncError
    ├── SettingsError           settings are wrong: one sentence for each, with the remedy
    ├── WebhookRejected         a refused delivery: reason and HTTP status
    ├── MessageUnusable         a Pub/Sub message without a valid event: goes to the dead-letter topic
    ├── PublishFailed           Pub/Sub did not accept the event
    ├── StoreUnavailable        Firestore is unreachable, or refuses temporarily
    ├── RecordTooLarge          the record exceeds the limit of a Firestore document
    ├── QuotaExhausted          no request is free: states when one will be
    ├── LookAgain               the answer proves too little, because DrChrono's replicas lag: fetch again later
    ├── DeletionsHeld           so many records are absent that a person must accept their deletion
    ├── LeaseLost               another instance holds the lease now
    ├── TokenError
    │   ├── TokenMissing        never authorized
    │   ├── TokenRevoked        DrChrono refused the refresh token: final until the next authorization
    │   └── TokenUnavailable    no token for now (another instance is refreshing, endpoint down): try again later
    └── DrChronoError           a request to the API failed
        ├── BadRequest          400 and other 4xx
        ├── Unauthorized        401 with two different tokens
        ├── Forbidden           403: names the scope
        ├── NotFound            404
        ├── Conflict            409
        ├── Throttled           429: states when to send requests again
        ├── ServerError         5xx
        │   └── BulkFailed      DrChrono gave up making a bulk list
        ├── Unreachable         timeout, reset, connection refused; a write was certainly not sent
        ├── MalformedAnswer     a 2xx without the expected JSON
        │   └── ListRepeats     the pages of a list form a cycle
        ├── ListEmpty           a list shows no record of a kind of which the copy has some
        ├── ListShifted         the pages of a list did not show all its records: it is read again
        ├── OutcomeUnknown      a write was sent, and the answer does not show whether it took effect
        ├── ForeignHost         a link leads away from DrChrono's hosts and was not followed
        ├── BulkExpired         the uuid of a bulk list has expired: request the same page again
        └── BulkNotReady        DrChrono is still making the bulk list: resume later from the position

Messages contain kinds, ids, statuses and remedies, but never a field of a record, a token, a body or a query value.
`reason` identifies the error to programs. HTTP answers, log lines, queue entries and alerts use the same word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType


class SyncError(Exception):
    """Base class. `reason` consists of lower-case letters and underscores."""

    reason: str = "error"


class SettingsError(SyncError):
    """`problems`: one sentence per wrong setting. Each begins with its name and ends with the remedy."""

    reason = "misconfigured"

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class WebhookRejected(SyncError):
    """`receive_webhook` answers the request with `status`."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class MessageUnusable(SyncError):
    """`reason` says what is wrong, without repeating the content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PublishFailed(SyncError):
    reason = "publish_failed"


class StoreUnavailable(SyncError):
    reason = "store_unavailable"


class RecordTooLarge(SyncError):
    reason = "too_large"


class QuotaExhausted(SyncError):
    """`until` (UTC): when the next request is free."""

    reason = "quota"

    def __init__(self, until: datetime) -> None:
        super().__init__(f"no request is free before {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class LookAgain(SyncError):
    """The answer may be older than the change. `reason` is `lag`, or `absent` if the answer holds no record.

    due: when a fetch can prove more (UTC). absent_since: when a fetch that had to show the record did not find it;
    None if there was no such fetch.
    """

    def __init__(self, reason: str, due: datetime, *, absent_since: datetime | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.due = due
        self.absent_since = absent_since


class DeletionsHeld(SyncError):
    """Too many records of `kind` are absent at once to mark any as deleted."""

    reason = "deletions_held"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"too many {kind} are absent: look in DrChrono, and if they are deleted there, "
            f"run `python -m ops accept-deletions {kind}`"
        )
        self.kind = kind


class LeaseLost(SyncError):
    reason = "lease_lost"


class TokenError(SyncError):
    reason = "token"


class TokenMissing(TokenError):
    reason = "token_missing"


class TokenRevoked(TokenError):
    reason = "token_revoked"


class TokenUnavailable(TokenError):
    reason = "token_unavailable"


class DrChronoError(SyncError):
    """A request to the API without a usable answer.

    operation: method and path, without the query. status: None if there was no answer. complaints: for a refused write,
    DrChrono's own texts by field. They may repeat values, so they go only into the entry that asked.
    """

    reason = "api_error"
    complaints: Mapping[str, Sequence[str]] = MappingProxyType({})

    def __init__(self, operation: str, *, status: int | None = None, remedy: str = "") -> None:
        answered = f"answered {status}" if status is not None else self.reason.replace("_", " ")
        super().__init__(f"{operation} {answered}" + (f": {remedy}" if remedy else ""))
        self.operation = operation
        self.status = status


class BadRequest(DrChronoError):
    reason = "bad_request"


class Unauthorized(DrChronoError):
    reason = "unauthorized"


class Forbidden(DrChronoError):
    reason = "forbidden"


class NotFound(DrChronoError):
    reason = "not_found"


class Conflict(DrChronoError):
    reason = "conflict"


class Throttled(DrChronoError):
    """429. until: when DrChrono allows requests again (UTC)."""

    reason = "throttled"

    def __init__(self, operation: str, *, until: datetime) -> None:
        super().__init__(operation, status=429, remedy=f"wait until {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class ServerError(DrChronoError):
    reason = "server_error"


class Unreachable(DrChronoError):
    reason = "unreachable"


class MalformedAnswer(DrChronoError):
    reason = "malformed_answer"


class ListRepeats(MalformedAnswer):
    reason = "list_repeats"


class ListEmpty(DrChronoError):
    reason = "list_empty"


class OutcomeUnknown(DrChronoError):
    reason = "outcome_unknown"


class ForeignHost(DrChronoError):
    reason = "foreign_host"


class ListShifted(DrChronoError):
    """The pages of a list of `kind`, read several times, do not show as many records as the list has."""

    reason = "list_shifted"

    def __init__(self, kind: str) -> None:
        super().__init__(f"the list of {kind}", remedy="its pages do not agree with its count, or with each other")


class BulkExpired(DrChronoError):
    reason = "bulk_expired"


class BulkFailed(ServerError):
    reason = "bulk_failed"


class BulkNotReady(DrChronoError):
    """position: resumes the list at the page that is being made (see `shared.drchrono.lists`)."""

    reason = "bulk_not_ready"

    def __init__(self, operation: str, position: Mapping[str, object]) -> None:
        super().__init__(operation)
        self.position = position
