"""The form of a log event in the table of logs.md."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `source` is how the code names it where that is not the text in the log.

    `more` names, in words, the fields beyond `fields` that depend on the run.
    """

    module: str
    text: str
    levels: str
    meaning: str
    fields: tuple[str, ...] = ()
    more: str = ""
    source: str = ""

    @property
    def service(self) -> str:
        """Return which service logs it."""
        package = self.module.partition(".")[0]
        return {"service1_api": "API", "service2_consumer": "consumer"}.get(package, "both")


EMAIL = ("message_id", "trace_id")
EMAILS = ("message_ids", "trace_ids")
