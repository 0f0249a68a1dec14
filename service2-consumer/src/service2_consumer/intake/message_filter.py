"""MESSAGE_FILTER: which messages are stored, by their attributes. Pure: no I/O."""

import re
from collections.abc import Mapping

_NAME = re.compile(
    r"[A-Za-z0-9_.-]{1,256}"
)  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html


class MessageFilter:
    """Conditions such as `source=service1-api,mailer;tenant=a`: each attribute must have one of its values.

    Without conditions it accepts every message. Raise ValueError with a text that says what is wrong.
    """

    def __init__(self, conditions: str = "") -> None:
        self._accepted: dict[str, frozenset[str]] = {}
        for condition in filter(None, (part.strip() for part in conditions.split(";"))):
            name, equals, values = (part.strip() for part in condition.partition("="))
            accepted = frozenset(filter(None, (value.strip() for value in values.split(","))))
            if not (equals and _NAME.fullmatch(name) and accepted):
                raise ValueError("must be conditions such as source=service1-api,mailer, separated by semicolons")
            if name in self._accepted:
                raise ValueError(f"names the attribute {name} twice; list its values with commas")
            self._accepted[name] = accepted

    @property
    def attribute_names(self) -> list[str]:
        """Return the names of the attributes that the conditions need."""
        return list(self._accepted)

    def accepts(self, attributes: Mapping[str, str]) -> bool:
        """Return whether a message with these attributes is stored."""
        return all(attributes.get(name) in values for name, values in self._accepted.items())
