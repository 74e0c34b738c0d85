"""Every error this system raises, as one tree.

    SyncError
    ├── SettingsError           the environment is wrong: names the settings and the remedy
    ├── WebhookRejected         a delivery that is refused: reason and HTTP status
    ├── MessageUnusable         a Pub/Sub message that holds no event: goes to the dead-letter topic
    ├── PublishFailed           Pub/Sub did not take the event
    ├── StoreUnavailable        Firestore could not be reached or refused for now
    ├── RecordTooLarge          over what one Firestore document can hold
    ├── QuotaExhausted          no permit now: says when there will be one
    ├── LookAgain               the API's replicas lag: the answer proves too little, and is asked for again
    ├── DeletionsHeld           so many records are absent that none is marked as deleted until a person looked
    ├── LeaseLost               another instance holds what we thought was ours
    ├── TokenError
    │   ├── TokenMissing        never authorized
    │   ├── TokenRevoked        DrChrono refused the refresh token: final until authorized again
    │   └── TokenUnavailable    cannot be had now (another instance refreshes, endpoint down): try later
    └── DrChronoError           an answer of the API, or none
        ├── BadRequest          400 and other 4xx
        ├── Unauthorized        401 twice, with two tokens
        ├── Forbidden           403: names the scope
        ├── NotFound            404
        ├── Conflict            409
        ├── Throttled           429: says when to come back
        ├── ServerError         5xx
        │   └── BulkFailed      DrChrono gave up making a bulk list
        ├── Unreachable         timeout, reset, refused: nothing is known to have been changed
        ├── MalformedAnswer     a 2xx that is not the JSON it should be
        │   └── ListRepeats     the pages of a list lead in a circle
        ├── OutcomeUnknown      a write was sent and not answered: it may or may not have happened
        ├── ForeignHost         a link leads off DrChrono's hosts: not followed
        ├── BulkExpired         the uuid of a bulk list is too old: ask for the same page again
        └── BulkNotReady        a bulk list is still being made: resume from its position later

Messages hold kinds, ids, statuses and remedies; never a field of a record, a token, a body or a query value.
`reason` is the one machine word of an error: the same in the answer, the log line, the pending entry and the alert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType


class SyncError(Exception):
    """Base of all. `reason` is a word of lower-case letters and underscores."""

    reason: str = "error"


class SettingsError(SyncError):
    """`problems` holds one sentence per wrong setting, each with its remedy."""

    reason = "misconfigured"

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class WebhookRejected(SyncError):
    """A request to the front door that is refused with `status`."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class MessageUnusable(SyncError):
    """`reason` says what is missing; the content is not repeated."""

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
    """No permit now. `until` (UTC) is when asking again makes sense."""

    reason = "quota"

    def __init__(self, until: datetime) -> None:
        super().__init__(f"no request permit before {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class LookAgain(SyncError):
    """The answer may be older than what is asked about. `reason` is `lag`, or `absent` where it shows no record.

    `due` (UTC) is when an answer proves more. `absent_since` is when the record was not found though a request sent
    then had to show it, None where that has not happened.
    """

    def __init__(self, reason: str, due: datetime, *, absent_since: datetime | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.due = due
        self.absent_since = absent_since


class DeletionsHeld(SyncError):
    """Records of `kind` are absent, but too many at once to believe it."""

    reason = "deletions_held"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"too many {kind} are absent; look into DrChrono, and if they are deleted there: "
            f"`python -m ops accept-deletions {kind}`"
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
    """An exchange with the API that gave no usable answer.

    `operation` is a method and a path without query; `status` is None where no answer came. `complaints` of a refused
    write: DrChrono's own texts by field. They may repeat values: they go into the entry that asked, and nowhere else.
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
    """429. `until` (UTC) is when DrChrono said that requests are allowed again."""

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


class OutcomeUnknown(DrChronoError):
    reason = "outcome_unknown"


class ForeignHost(DrChronoError):
    reason = "foreign_host"


class BulkExpired(DrChronoError):
    reason = "bulk_expired"


class BulkFailed(ServerError):
    reason = "bulk_failed"


class BulkNotReady(DrChronoError):
    """`position` resumes the list at the page that is being made (see `shared.drchrono.client`)."""

    reason = "bulk_not_ready"

    def __init__(self, operation: str, position: Mapping[str, object]) -> None:
        super().__init__(operation)
        self.position = position
