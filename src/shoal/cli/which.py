"""Which peer a command talks to.

SHOAL_PEER, else the only network of this user on this machine, by its first live
peer. The environment is read here and nowhere else.
"""

import os
from pathlib import Path

from shoal.client import Client
from shoal.core import address as addresses
from shoal.core.machine import Address
from shoal.errors import NoPeer
from shoal.net.home import read_token
from shoal.net.registry import Running, list_running


def client(timeout_s: float, project: str = "") -> Client:
    """A client of the peer that is meant; of a project, the one heard from last."""
    if project:
        return _client_of_stranger(_of_project(project, timeout_s), timeout_s)
    if chosen := os.environ.get("SHOAL_PEER"):
        return client_at(Address(chosen), timeout_s)
    peers = this_network()
    return client_of(peers[0], timeout_s)


def _client_of_stranger(address: Address, timeout_s: float) -> Client:
    """Without a token, unless it is a peer of ours: anybody may announce a project."""
    if peer := _at(address, list_running()):
        return client_of(peer, timeout_s)
    return Client(address, "", timeout_s)


def _of_project(project: str, timeout_s: float) -> Address:
    """Where a peer of it is, that answers."""
    from shoal.client.catalogs import Catalogs, those_there

    known = catalogs("")
    if not known:
        raise NoPeer(
            f"project {project}: no catalog is known to find it; set CATALOG_HOST"
        )
    found = Catalogs(known).peers_of(project, within_s=timeout_s)
    there = next(those_there(found, within_s=timeout_s), None)
    if there is None:
        many = (
            f"{len(found)} are listed, and none answers" if found else "none is there"
        )
        raise NoPeer(f"project {project}: {many}; see: shoal catalog query")
    return there


def this_network() -> list[Running]:
    """The peers of the network that is meant, as far as this user runs them here."""
    peers = list_running()
    if chosen := os.environ.get("SHOAL_PEER"):
        return _network_of(Address(chosen), peers)
    if not peers:
        raise NoPeer("peer: none of yours runs on this machine; start one: shoal up")
    networks = list(dict.fromkeys(each.network for each in peers))
    if len(networks) > 1:
        listed = ", ".join(
            f"{network} ({next(e.address for e in peers if e.network == network)})"
            for network in networks
        )
        raise NoPeer(
            f"network: you run {len(networks)} on this machine, {listed}; "
            "choose one: SHOAL_PEER=ADDRESS shoal ..."
        )
    return peers


def _network_of(address: Address, peers: list[Running]) -> list[Running]:
    chosen = _at(address, peers)
    if chosen is None:
        raise NoPeer(
            f"peer {address}: none of yours runs there on this machine; "
            "see who does, without SHOAL_PEER: shoal status"
        )
    return [each for each in peers if each.network == chosen.network]


def _at(address: Address, peers: list[Running]) -> Running | None:
    """Which of these is at an address, however it is written."""
    return next((e for e in peers if addresses.are_same(e.address, address)), None)


def client_of(peer: Running, timeout_s: float) -> Client:
    """A client of a peer that runs here."""
    token = read_token(peer.directory / "token") or b""
    host, _ = addresses.parse(peer.address)
    return Client(addresses.join(host, peer.port), token.hex(), timeout_s)


def client_at(address: Address, timeout_s: float) -> Client:
    """A client of the peer at an address, with the token if it is to be had."""
    if peer := _at(address, list_running()):
        return client_of(peer, timeout_s)
    wanted = addresses.join(*addresses.parse(address))
    return Client(wanted, (token_given() or b"").hex(), timeout_s)


def token_given() -> bytes | None:
    """The token in the file that SHOAL_TOKEN names."""
    path = os.environ.get("SHOAL_TOKEN")
    return read_token(Path(path)) if path else None


def token_of(address: Address) -> bytes | None:
    """The token of the network at an address, if a peer of it runs here."""
    peer = _at(address, list_running())
    return read_token(peer.directory / "token") if peer else None


def catalogs(given: str) -> tuple[Address, ...]:
    """The catalogs of a list, or of CATALOG_HOST: host or host:port, with commas."""
    listed = given or os.environ.get("CATALOG_HOST", "")
    port = os.environ.get("CATALOG_PORT", "9097")  # As all programs have it.
    found = []
    for each in filter(None, map(str.strip, listed.split(","))):
        bare = ":" not in each.rpartition("]")[2]
        found.append(
            addresses.join(*addresses.parse(f"{each}:{port}" if bare else each))
        )
    return tuple(found)
