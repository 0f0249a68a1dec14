"""The client's address and the load balancer's trace behind trusted proxies."""

import pytest

from service1_api.client_address import amzn_trace_id, client_address


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "client"),
    [
        ("10.0.0.1", None, 0, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", 0, "10.0.0.1"),
        ("10.0.0.1", None, 1, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1", "forged, 192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1", "forged,192.0.2.1 , 198.51.100.7", 2, "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1", 2, "192.0.2.1"),
        ("10.0.0.1", "nonsense", 1, "10.0.0.1"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1:4711", 1, "192.0.2.1"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:4711", 1, "2001:db8:1:2:3::4"),
        ("10.0.0.1", "2001:db8:1:2:ffff::1", 1, "2001:db8:1:2:ffff::1"),
        ("::ffff:192.0.2.1", None, 0, "192.0.2.1"),
    ],
)
def test_client_address_is_that_seen_by_the_outermost_trusted_proxy(
    peer: str, forwarded: str | None, hops: int, client: str
) -> None:
    assert client_address(peer, forwarded, hops) == client


@pytest.mark.parametrize(
    ("header", "hops", "expected"),
    [
        ("Root=1-67891233-abcdef0123456789", 1, "Root=1-67891233-abcdef0123456789"),
        ("Root=1-67891233-abcdef0123456789", 0, None),
        (None, 1, None),
        ("Root=1 spaced", 1, None),
        ("a" * 257, 1, None),
    ],
)
def test_amzn_trace_id_is_used_only_behind_a_trusted_proxy(header: str | None, hops: int, expected: str | None) -> None:
    assert amzn_trace_id(header, hops) == expected
