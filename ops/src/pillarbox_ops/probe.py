"""One run of the probe: checks, then an e-mail that goes the way of a customer's, until the status route has it.

The e-mail has both marks of pillarbox.probe, so it is stored below a prefix of its own and counted apart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pillarbox.probe import PROBE_SENDER, new_probe_id
from pillarbox.strict_json import JsonValue
from pillarbox_ops.errors import OpsError, explained, kind_and_place

if TYPE_CHECKING:
    from pillarbox_ops.checks import Result
    from pillarbox_ops.sending import Api

# The status route answers after up to 5 s, so the end of the waiting can come this much later than asked.
_GRACE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """What a run has found so far. Milliseconds count from the request; None means that it did not come so far."""

    checks_failed: list[str] = field(default_factory=list)
    message_id: str | None = None
    accepted_ms: int | None = None
    archived_ms: int | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Return whether each check passed and the e-mail was archived in time."""
        return not self.checks_failed and not self.error and self.archived_ms is not None

    def log(self) -> None:
        """Write the one line of the run: neither the token nor anything of the e-mail but its id."""
        fields: dict[str, Any] = {
            "ok": self.ok,
            "checks_failed": self.checks_failed,
            "message_id": self.message_id,
            "accepted_ms": self.accepted_ms,
            "archived_ms": self.archived_ms,
        }
        if self.ok:
            logger.info("probe succeeded", extra=fields)
        else:
            error = self.error or f"failed checks: {len(self.checks_failed)}"
            logger.error("probe failed", extra=fields | {"error": error})


@dataclass(frozen=True, slots=True)
class Probe:
    """A run. `check` returns results of checks, `connect` an API with a token; `seconds` bounds the whole run."""

    check: Callable[[], Sequence[Result]]
    connect: Callable[[], Api]
    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    grace_seconds: float = _GRACE_SECONDS

    def run(self) -> Outcome:
        """Return the outcome. It raises nothing and is back in time, even if AWS or the API never answers."""
        outcome = Outcome()
        thread = threading.Thread(target=self._guarded, args=(outcome,), name="probe", daemon=True)
        thread.start()
        thread.join(self.seconds + self.grace_seconds)
        if thread.is_alive():
            return replace(outcome, archived_ms=None, error=f"no answer within {self.seconds:g} s")
        return outcome

    def _guarded(self, outcome: Outcome) -> None:
        try:
            self._run(outcome)
        except Exception as exc:  # noqa: BLE001  the top of a run: the log line says what ended it
            outcome.error = explained(exc) or kind_and_place(exc)

    def _run(self, outcome: Outcome) -> None:
        deadline = self.clock() + self.seconds
        # What cannot be asked is no failure.
        outcome.checks_failed = [f"{result.check}: {result.detail}" for result in self.check() if result.ok is False]
        api = self.connect()
        outcome.message_id = message_id = new_probe_id()
        started = self.clock()
        sent = api.post(probe_email(), message_id)
        if sent.status != "accepted":
            outcome.error = f"the API did not accept the e-mail: {sent.problem}"
            return
        outcome.accepted_ms = sent.milliseconds
        if self._until_archived(api, message_id, deadline, outcome):
            outcome.archived_ms = round((self.clock() - started) * 1000)

    def _until_archived(self, api: Api, message_id: str, deadline: float, outcome: Outcome) -> bool:
        """Return whether the e-mail is archived before the deadline; if not, `outcome.error` says why."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            problem = ""
            try:
                archived = api.is_archived(message_id)
            except OpsError as exc:
                archived, problem = False, f": {exc}"  # a pod of the API may have been replaced
            if archived is None:
                outcome.error = "the API has no status route (STATUS_BUCKET; STACK_StatusRoute=true)"
                return False
            left = deadline - self.clock()
            if archived:
                return True
            if left <= 0:
                outcome.error = f"accepted, and not archived within {self.seconds:g} s{problem}"
                return False
            self.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def probe_email() -> dict[str, JsonValue]:
    """Return the e-mail of a probe, with the reserved sender."""
    return {
        "email_subject": "Probe",
        "email_sender": PROBE_SENDER,
        "email_timestream": str(int(time.time())),
        "email_content": "Sent by `pillarbox probe`, to see that e-mails are archived.",
    }
