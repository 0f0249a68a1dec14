"""Who called: the client's address and the load balancer's trace, as far as the proxies in front can be believed."""

import ipaddress
import re
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRACE_ID = re.compile(r"[A-Za-z0-9=;:_\-]{1,256}")


def client_address(peer: str, forwarded_for: str | None, trusted_proxy_hops: int) -> str:
    """Return the client's address as the outermost trusted proxy saw it.

    Each proxy appends the address that it was called from, so only the last `trusted_proxy_hops` entries can be
    believed; what stands before them is the client's own claim.
    """
    address = peer
    if trusted_proxy_hops and forwarded_for:
        entries = forwarded_for.split(",")
        address = entries[-min(trusted_proxy_hops, len(entries))].strip()
    return str(parsed(address) or parsed(peer))


def amzn_trace_id(header: str | None, trusted_proxy_hops: int) -> str | None:
    """Return the X-Amzn-Trace-Id of a load balancer in front; None where it is the client's own claim."""
    return header if trusted_proxy_hops and header and _TRACE_ID.fullmatch(header) else None


@lru_cache(maxsize=1024)
def parsed(text: str) -> Address | None:
    """Read an address, with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
