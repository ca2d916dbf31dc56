"""Names, keys, addresses, data directories."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.address import are_same, join, parse
from shoal.core.identity import Identity, verify
from shoal.core.machine import Address, PeerId
from shoal.errors import (
    DirectoryDamaged,
    DirectoryHeld,
    InvalidAddress,
    InvalidName,
)
from shoal.net.home import Home, enter, membership, read_token, running


def test_a_name_follows_from_the_key_and_golden_stays() -> None:
    identity = Identity(bytes(32))
    assert identity.peer == "grand-shrimp-tsxo4x"
    assert Identity(bytes(32), "lab1").peer.startswith("lab1-")
    assert Identity(bytes(32), "lab1").peer[-6:] == identity.peer[-6:]


def test_only_the_key_of_a_name_vouches_for_it() -> None:
    me, other = Identity(b"a" * 32), Identity(b"b" * 32)
    signature = me.sign(b"data")
    assert verify(me.peer, me.public, signature, b"data")
    assert not verify(me.peer, me.public, signature, b"date")
    assert not verify(me.peer, other.public, other.sign(b"data"), b"data")
    assert not verify(PeerId("x-aaaaaa"), me.public, signature, b"data")
    assert not verify(me.peer, b"short", signature, b"data")


@pytest.mark.parametrize("label", ["", "a b", "../x", "a/b", "é", "x" * 33, "a\n", "-"])
def test_a_label_that_cannot_be_part_of_a_path_is_refused(label: str) -> None:
    if label:
        with pytest.raises(InvalidName):
            Identity(bytes(32), label)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("lab1:7601", ("lab1", 7601)),
        ("lab1", ("lab1", 7600)),
        (":7601", ("127.0.0.1", 7601)),
        ("7601", ("127.0.0.1", 7601)),
        ("0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("::1", ("::1", 7600)),
        ("10.0.0.1:0", ("10.0.0.1", 0)),
    ],
)
def test_addresses_are_read_as_people_write_them(
    text: str, meant: tuple[str, int]
) -> None:
    assert parse(text) == meant
    assert parse(join(*meant)) == meant


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1:7601", "localhost:7601", True),
        ("Localhost:7601", "[::1]:7601", True),
        (":7601", "127.0.0.1:7601", True),
        ("lab1", "LAB1:7600", True),
        ("127.0.0.1:7601", "127.0.0.2:7601", False),
        ("localhost:7601", "localhost:7602", False),
        ("localhost:7601", "10.0.0.1:7601", False),
    ],
)
def test_one_place_may_be_written_in_several_ways(
    one: str, other: str, same: bool
) -> None:
    assert are_same(Address(one), Address(other)) is same
    assert are_same(Address(other), Address(one)) is same


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_clear_error(text: str) -> None:
    try:
        host, port = parse(text)
    except InvalidAddress:
        return
    assert host
    assert 0 <= port < 65536


def test_a_directory_keeps_who_we_are_and_counts_our_lives(tmp_path: Path) -> None:
    home = Home(tmp_path / "new" / "peer")
    identity = home.identity("lab1")
    network = enter(home, "lab1", None).network
    assert [home.next_generation() for _ in range(3)] == [1, 2, 3]
    home.close()
    again = Home(tmp_path / "new" / "peer")
    assert again.identity().peer == identity.peer
    assert enter(again, "", None).network == network
    assert again.next_generation() == 4
    again.close()
    for name in ("token", "identity.json"):
        assert (tmp_path / "new" / "peer" / name).stat().st_mode & 0o777 == 0o600


def test_one_process_at_a_time_holds_a_directory(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.announce(name="able-eel-aaaaaa", address="127.0.0.1:1")
    with pytest.raises(DirectoryHeld, match=f"able-eel-aaaaaa .process {os.getpid()}"):
        Home(tmp_path)
    assert (running(tmp_path) or {})["pid"] == os.getpid()
    home.close()
    assert running(tmp_path) is None
    Home(tmp_path).close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("identity.json", "{"),
        ("identity.json", "[]"),
        ("identity.json", '{"format": 99}'),
        ("identity.json", '{"format": 1, "seed": "AAAA", "label": ""}'),
        ("identity.json", '{"format": 1, "seed": 7, "label": ""}'),
        ("token", "xyz"),
        ("token", "00"),
        ("generation", "many"),
    ],
)
def test_a_damaged_or_foreign_directory_is_a_clear_error(
    tmp_path: Path, name: str, text: str
) -> None:
    home = Home(tmp_path)
    enter(home, "", None)
    (tmp_path / name).write_text(text)
    with pytest.raises(DirectoryDamaged):
        (enter(home, "", None), home.next_generation())
    home.close()


def test_every_byte_cut_from_a_file_is_noticed_or_harmless(tmp_path: Path) -> None:
    home = Home(tmp_path)
    whole = home.identity().peer
    path = tmp_path / "identity.json"
    text = path.read_bytes()
    for length in range(len(text)):
        path.write_bytes(text[:length])
        try:
            assert home.identity().peer == whole
        except DirectoryDamaged:
            continue
    home.close()


def test_networks_are_told_apart_by_their_secret(tmp_path: Path) -> None:
    identity = Identity(bytes(32))
    one, other = (membership(identity, bytes([n]) * 16) for n in (1, 2))
    assert one.network != other.network
    assert read_token(tmp_path / "absent") is None


def test_contacts_are_kept_few_and_rewritten_only_when_they_change(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    home.remember([join("lab", port) for port in range(1, 200)])
    assert len(home.contacts()) == 64
    stored = json.loads((tmp_path / "contacts.json").read_text())
    assert stored["addresses"][0] == "lab:1"
    home.remember([join("new", 1)])  # All others are away, and may come back.
    assert home.contacts()[:2] == ["new:1", "lab:1"]
    assert len(home.contacts()) == 64
    home.close()
