"""Which node of a fixed group this one is: by its number, or by where it listens."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.core import address as addresses
from shoal.core.group import Group, nodes_at, parse
from shoal.core.identity import Identity
from shoal.core.machine import Address
from shoal.errors import InvalidAddress, Misuse, NotFound
from shoal.net.host import is_ours


@dataclass(frozen=True, slots=True)
class Fixed:
    """One node of a fixed group."""

    path: Path
    group: Group
    node: int

    @classmethod
    def read(cls, path: Path, chosen: int | None, listen: str | None) -> "Fixed":
        """The node that was chosen, or else the one that is to listen there."""
        whole = path.expanduser().absolute()
        group = _read(whole)
        return cls(whole, group, _node_of(group, chosen, listen, path))

    @property
    def address(self) -> Address:
        """Where others find it."""
        return self.group.nodes[self.node]

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return self.group.identity(self.node)


def chosen(
    static: Path | None, node: int | None, listen: str | None, unfit: Mapping[str, Any]
) -> Fixed | None:
    """The node that options say, if they say any; some do not go with it."""
    if static is None:
        if node is not None:
            raise Misuse(
                "--id: it names a node of a fixed group; give its file, with --static"
            )
        return None
    for option in [name for name, given in unfit.items() if given]:
        raise Misuse(
            f"--{option}: a fixed group has the nodes and names that its file says; "
            "start each node by itself, with --static FILE --id N"
        )
    return Fixed.read(static, node, listen)


def _read(path: Path) -> Group:
    """The group in a file."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise NotFound(
            f"group {path}: {(error.strerror or '').lower()}; give the file that says "
            "which nodes there are"
        ) from None


def _node_of(group: Group, chosen: int | None, listen: str | None, path: Path) -> int:
    """The node that was chosen, or the only one whose address is ours."""
    there = len(group.nodes)
    if chosen is not None:
        if not 0 <= chosen < there:
            raise Misuse(
                f"node {chosen}: {path} has nodes 0 to {there - 1}; choose one of them"
            )
        return chosen
    ours = _at(group, listen) if listen else _here(group)
    if not ours:
        own = listen or ", ".join(_own_hosts())
        raise InvalidAddress(
            f"address {own}: no node of {path} is there; add it to the file, or say "
            "which node this one is, with --id N"
        )
    if len(ours) > 1:
        listed = ", ".join(f"{n} at {group.nodes[n]}" for n in ours[:8])
        raise Misuse(
            f"node: several of {path} are on this machine ({listed}); say which one "
            "this is, with --id N"
        )
    return ours[0]


def _at(group: Group, listen: str) -> list[int]:
    """Those at an address; a port alone is that of any address of this machine."""
    if listen.lstrip(":").isdigit():
        _, port = addresses.parse(listen)
        return [n for n in _here(group) if addresses.parse(group.nodes[n])[1] == port]
    return nodes_at(group, Address(listen))


def _here(group: Group) -> list[int]:
    hosts = {addresses.parse(node)[0] for node in group.nodes}
    ours = {host: is_ours(host) for host in sorted(hosts)}
    return [n for n, node in enumerate(group.nodes) if ours[addresses.parse(node)[0]]]


def _own_hosts() -> list[str]:
    """Where this machine is, as far as its name tells."""
    found = {addresses.LOOPBACK: None}
    with suppress(OSError):
        for *_, where in socket.getaddrinfo(socket.gethostname(), None):
            found[str(where[0])] = None
    return list(found)
