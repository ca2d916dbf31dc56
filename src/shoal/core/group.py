"""A fixed group as its file says: so many nodes for ever, each at an address.

  {"0": {"ip": "10.0.0.1", "port": 5000}, "1": {"ip": "10.0.0.2", "port": 5000}}

Everything else follows from what the file says, however it is laid out: the network's
secret, and each node's key and name. So all who have the same file are of one group,
and nobody types a token; whoever has the file is trusted by all.
"""

import json
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from shoal.core.address import MAX_HOST, are_same, join
from shoal.core.hello import SECRET_BYTES
from shoal.core.identity import SEED_BYTES, Identity
from shoal.core.machine import Address, PeerId
from shoal.errors import Misuse

# Links to all of them are kept open, and a key has one owner: 1,024 is a guess.
MAX_NODES = 1024


class InvalidGroup(Misuse):
    """The file does not say of which nodes a group is."""


class Group(Struct, frozen=True):
    """The addresses of the nodes, in the order of their ids."""

    nodes: tuple[Address, ...]

    @property
    def secret(self) -> bytes:
        """What all nodes know, and nobody who has another file."""
        return self._derived(b"", SECRET_BYTES, b"shoal group")

    def identity(self, node: int) -> Identity:
        """Who a node is."""
        seed = self._derived(b"%d" % node, SEED_BYTES, b"shoal node")
        return Identity(seed, f"node-{node}")

    def atlas(self) -> dict[PeerId, Address]:
        """Where each of them is, in the order of their ids."""
        return {self.identity(n).peer: node for n, node in enumerate(self.nodes)}

    def _derived(self, what: bytes, size: int, person: bytes) -> bytes:
        said = "\n".join(self.nodes).encode()
        whole = blake2b(said, person=person).digest()
        return blake2b(what, key=whole, digest_size=size, person=person).digest()


def parse(text: bytes, name: str) -> Group:
    """The group of a file, or what is wrong with it."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(name, f"it is not JSON ({error})") from None
    if not (isinstance(stored, dict) and 0 < len(stored) <= MAX_NODES):
        raise _invalid(name, f"it is not an object of 1 to {MAX_NODES} nodes")
    missing = [str(n) for n in range(len(stored)) if str(n) not in stored]
    if missing:
        raise _invalid(name, f"node {missing[0]} is missing, ids go from 0 to n - 1")
    nodes = tuple(_address(stored[str(n)], n, name) for n in range(len(stored)))
    for n, node in enumerate(nodes):
        if node in nodes[:n]:
            raise _invalid(
                name, f"nodes {nodes.index(node)} and {n} are both at {node}"
            )
    return Group(nodes)


def nodes_at(group: Group, address: Address) -> list[int]:
    """Which of them are there."""
    return [n for n, node in enumerate(group.nodes) if are_same(node, address)]


def _address(stored: Any, n: int, name: str) -> Address:  # noqa: ANN401 - what JSON says.
    match stored:
        case {"ip": str(host), "port": int(port)} if 0 < port < 65536 and host:
            if len(host) <= MAX_HOST and all("!" <= letter <= "~" for letter in host):
                return join(host, port)
    raise _invalid(name, f'node {n} is not {{"ip": HOST, "port": PORT}}')


def _invalid(name: str, cause: str) -> InvalidGroup:
    return InvalidGroup(
        f"group {name}: {cause}; write one object of every node's id, ip and port"
    )
