"""A dead-letter queue with e-mails and poison."""

import pytest

from ..letters import ATTRIBUTES, email
from ..pipelines import Pipeline


@pytest.fixture
def mixed(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline with three e-mails and two messages of poison in its dead-letter queue."""
    pipeline.dead_letter(email(), attributes=ATTRIBUTES)
    pipeline.dead_letter(email(email_sender="john@example.com"))
    pipeline.dead_letter(email(email_sender="\u001b[31mred"))
    pipeline.dead_letter("poison")
    pipeline.dead_letter("{}")
    return pipeline
