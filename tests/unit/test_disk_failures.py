"""How the simulated disk fills up, and how its syncs fail."""

import errno
from random import Random

import pytest

from shoal.sim.disk import SimulatedDisk
from tests.unit.test_disk import synced


def test_a_full_disk_refuses_appends_and_keeps_what_it_has() -> None:
    disk = SimulatedDisk(capacity_bytes=10)
    disk.append("log", b"12345678")
    with pytest.raises(OSError, match="full") as caught:
        disk.append("log", b"abc")
    assert caught.value.errno == errno.ENOSPC
    assert disk.read("log") == b"12345678"
    disk.append("log", b"ab")
    disk.sync("log")
    assert disk.read("log") == b"12345678ab"


def test_a_full_disk_breaks_writes_off_in_the_middle() -> None:
    disk = SimulatedDisk(capacity_bytes=10)
    disk.append("log", b"12345678")
    with pytest.raises(OSError, match="full"):
        disk.write("note", b"abc")
    assert disk.read("note") == b"ab"


def test_room_is_found_again_where_files_go() -> None:
    disk = SimulatedDisk(capacity_bytes=10)
    disk.write("a", b"12345678")
    disk.write("a", b"1234567890")
    disk.remove("a")
    disk.append("b", b"1234567890")
    disk.capacity_bytes = 11
    disk.append("b", b"1")
    assert disk.read("b") == b"12345678901"


def test_a_failed_sync_is_told_and_what_it_left_is_never_safe() -> None:
    disk = synced()
    disk.append("log", b" and not")
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="sync failed") as caught:
        disk.sync("log")
    assert caught.value.errno == errno.EIO
    assert disk.read("log") == b"safe and not"
    with pytest.raises(OSError, match="sync failed"):
        disk.sync("log")
    with pytest.raises(OSError, match="sync failed"):
        disk.append("log", b"x")
    disk.crash("kept", Random(0))
    assert disk.read("log") == b"safe"
    disk.append("log", b" again")
    disk.sync("log")
    assert disk.read("log") == b"safe again"


def test_after_a_failed_sync_a_file_can_be_written_anew() -> None:
    disk = synced()
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="sync failed"):
        disk.sync("log")
    disk.write("log", b"anew")
    disk.sync("log")
    disk.crash("lost", Random(0))
    assert disk.read("log") == b"anew"


def test_a_directory_whose_sync_failed_can_be_synced_again() -> None:
    disk = synced()
    disk.rename("log", "old")
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="could not be synced"):
        disk.sync_directory()
    disk.sync_directory()
    disk.crash("lost", Random(0))
    assert disk.names() == ["old"]
