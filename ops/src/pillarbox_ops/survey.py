"""What a command on dead letters would change: found in a first look, whose messages a second one takes.

So an operator agrees to exactly these messages, and what arrives meanwhile is left alone. Only ids are kept in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pillarbox_ops.changes import SAMPLE
from pillarbox_ops.dead_letters import DeadLetter


@dataclass(slots=True)
class Survey:
    """The SQS ids of the messages that match, rows of the first of them, and how many each reason has."""

    ids: set[str] = field(default_factory=set)
    sample: list[dict[str, Any]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """Return the reasons with their numbers, the most frequent first."""
        return ", ".join(f"{number} {reason}" for reason, number in self.reasons.most_common())

    def chosen(self, letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
        """Yield the messages of the survey, and end with the last of them."""
        left = set(self.ids)
        for letter in letters if left else ():
            if letter.sqs_message_id in left:
                left.discard(letter.sqs_message_id)
                yield letter
                if not left:
                    return


def survey(
    letters: Iterable[DeadLetter], accepts: Callable[[DeadLetter], bool], maximum: int | None, now: datetime
) -> Survey:
    """Return the survey of messages: of those that `accepts` takes, the first `maximum`."""
    found = Survey()
    for letter in letters:
        if not accepts(letter):
            continue
        found.ids.add(letter.sqs_message_id)
        found.reasons[letter.reason] += 1
        if len(found.sample) < SAMPLE:
            found.sample.append(letter.row(now))
        if maximum and len(found.ids) >= maximum:
            break
    return found
