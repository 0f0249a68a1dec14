"""MESSAGE_FILTER."""

import pytest

from service2_consumer.intake.message_filter import MessageFilter


@pytest.mark.parametrize(
    ("conditions", "attributes", "accepted"),
    [
        ("", {}, True),
        (" ; ", {"source": "any"}, True),
        ("source=service1-api,mailer", {"source": "mailer"}, True),
        (" source = service1-api , mailer ", {"source": "service1-api", "other": "x"}, True),
        ("source=service1-api", {"source": "mailer"}, False),
        ("source=service1-api", {}, False),
        ("source=a;tenant=b,c", {"source": "a", "tenant": "c"}, True),
        ("source=a;tenant=b", {"source": "a", "tenant": "c"}, False),
        ("source=a=b", {"source": "a=b"}, True),
    ],
)
def test_a_message_is_accepted_if_each_attribute_has_a_listed_value(
    conditions: str, attributes: dict[str, str], accepted: bool
) -> None:
    assert MessageFilter(conditions).accepts(attributes) is accepted


@pytest.mark.parametrize("conditions", ["source", "=a", "source=", "source=,", "so urce=a", "a=1;b"])
def test_what_is_no_condition_is_refused(conditions: str) -> None:
    with pytest.raises(ValueError, match="must be conditions such as"):
        MessageFilter(conditions)


def test_an_attribute_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="names the attribute source twice"):
        MessageFilter("source=a;source=b")


def test_the_attributes_to_ask_sqs_for_are_those_of_the_conditions() -> None:
    assert MessageFilter("source=a;tenant=b").attribute_names == ["source", "tenant"]
