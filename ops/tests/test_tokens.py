from datetime import UTC, datetime

import pytest

from pillarbox_ops.errors import OpsError
from pillarbox_ops.tokens import TokenParameter, checked, fingerprint, new_token

PARAMETER = TokenParameter("/name", 3, "key", "Standard", datetime(2026, 11, 20, tzinfo=UTC), ("c", "b", "a", "b"))


def test_a_new_token_comes_first_and_keeps_as_many_as_wanted() -> None:
    assert PARAMETER.with_new("d") == ("d", "c", "b", "a", "b")
    assert PARAMETER.with_new("d", keep=1) == ("d", "c")


def test_a_token_that_is_there_twice_is_revoked_twice() -> None:
    assert PARAMETER.without([fingerprint("b")]) == ("c", "a")


def test_no_token_left_and_an_unknown_one_are_errors() -> None:
    with pytest.raises(OpsError, match="add one first"):
        PARAMETER.without([fingerprint(one) for one in "abc"])
    with pytest.raises(OpsError, match="has no token 0000ffff"):
        PARAMETER.without(["0000ffff"])


def test_a_fingerprint_is_the_beginning_of_the_digest() -> None:
    assert fingerprint("abc") == "ba7816bf"


def test_new_tokens_are_long_and_differ() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {48}


def test_no_repr_shows_a_token() -> None:
    parameter = TokenParameter("/name", 3, "key", "Standard", datetime(2026, 11, 20, tzinfo=UTC), ("hidden",))
    assert "hidden" not in repr(parameter)


def test_a_token_that_a_header_can_carry_is_given_back() -> None:
    assert checked("aZ09_-.~+/=", "API_TOKEN") == "aZ09_-.~+/="


@pytest.mark.parametrize("token", ["a\n", "a\tb", "\x7f", "\u00e9"])
def test_another_token_is_an_error_that_names_its_source_and_not_the_token(token: str) -> None:
    with pytest.raises(OpsError) as raised:
        checked(token, "/name")
    assert str(raised.value) == "/name has characters that a token cannot have"
