"""Shoal: a network of equal peers, with nobody in charge."""

from typing import TYPE_CHECKING

from shoal.client import Client, Table
from shoal.errors import Misuse, Refused, ShoalError, Unanswered, Unknown, Unreachable
from shoal.version import VERSION

if TYPE_CHECKING:
    from shoal.client.copies import ClusterClient
    from shoal.client.coroutines import AsyncTable, Network

__all__ = [
    "AsyncTable",
    "Client",
    "ClusterClient",
    "Misuse",
    "Network",
    "Refused",
    "ShoalError",
    "Table",
    "Unanswered",
    "Unknown",
    "Unreachable",
    "connect",
    "open",
]

__version__ = VERSION


def connect(address: str | None = None, *, timeout_s: float = 10.0) -> Client:
    """A client of the peer at an address, or of the one that runs on this machine."""
    from shoal.cli import which
    from shoal.core.machine import Address

    if address is None:
        return which.client(timeout_s)
    return which.client_at(Address(address), timeout_s)


def open(  # noqa: A001 - it is what `shoal.open()` does.
    address: str | None = None, *, timeout_s: float = 10.0
) -> "Network":
    """The same verbs as coroutines: `async with shoal.open() as net`."""
    from shoal.client.coroutines import Network

    return Network(connect(address, timeout_s=timeout_s))


def __getattr__(name: str) -> object:
    """What few need is imported by those who do."""
    if name in ("AsyncTable", "Network"):
        from shoal.client import coroutines

        return getattr(coroutines, name)
    if name == "ClusterClient":
        from shoal.client.copies import ClusterClient

        return ClusterClient
    raise AttributeError(f"module 'shoal' has no attribute {name!r}")
