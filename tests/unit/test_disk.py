"""What the simulated disk loses in a crash, and what it keeps."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.sim.disk import SECTOR_BYTES, Crash, SimulatedDisk

SEEDS = range(50)
SURVIVABLE: tuple[Crash, ...] = ("kept", "lost", "torn")


def synced(name: str = "log", data: bytes = b"safe") -> SimulatedDisk:
    """A disk with one file that is all safe."""
    disk = SimulatedDisk()
    disk.append(name, data)
    disk.sync(name)
    disk.sync_directory()
    return disk


def outcomes(make: Callable[[], SimulatedDisk], mode: Crash) -> list[dict[str, bytes]]:
    """Everything that may be found after such a crash, each once."""
    found: list[dict[str, bytes]] = []
    for seed in SEEDS:
        disk = make()
        disk.crash(mode, Random(seed))
        files = {name: disk.read(name) for name in disk.names()}
        if files not in found:
            found.append(files)
    return found


# What survives


@pytest.mark.parametrize("mode", SURVIVABLE)
def test_what_was_synced_survives(mode: Crash) -> None:
    assert outcomes(synced, mode) == [{"log": b"safe"}]


def test_nothing_survives_the_loss_of_the_disk() -> None:
    assert outcomes(synced, "wiped") == [{}]


def test_the_death_of_the_process_loses_nothing() -> None:
    def make() -> SimulatedDisk:
        disk = synced()
        disk.append("log", b" and not")
        disk.write("note", b"n")
        disk.rename("note", "memo")
        return disk

    assert outcomes(make, "kept") == [{"log": b"safe and not", "memo": b"n"}]


def test_after_the_death_of_the_process_a_power_cut_still_loses() -> None:
    disk = synced()
    disk.append("log", b" and not")
    disk.crash("kept", Random(0))
    disk.crash("lost", Random(0))
    assert disk.read("log") == b"safe"


def test_a_power_cut_loses_what_was_appended_since() -> None:
    def make() -> SimulatedDisk:
        disk = synced()
        disk.append("log", b" and not")
        return disk

    assert outcomes(make, "lost") == [{"log": b"safe"}]


def test_a_power_cut_brings_back_what_a_write_replaced() -> None:
    def make() -> SimulatedDisk:
        disk = synced()
        disk.write("log", b"new")
        disk.write("log", b"newer")
        return disk

    assert outcomes(make, "lost") == [{"log": b"safe"}]


def test_a_synced_file_whose_name_was_not_is_lost() -> None:
    disk = SimulatedDisk()
    disk.write("a", b"x")
    disk.sync("a")
    disk.crash("lost", Random(0))
    assert disk.names() == []


def test_a_synced_name_whose_file_was_not_is_empty() -> None:
    disk = SimulatedDisk()
    disk.write("a", b"x")
    disk.sync_directory()
    disk.crash("lost", Random(0))
    assert disk.read("a") == b""


def renamed() -> SimulatedDisk:
    disk = synced("now", b"old")
    disk.write("now.new", b"new")
    disk.sync("now.new")
    disk.rename("now.new", "now")
    return disk


def test_a_rename_is_lost_until_the_directory_is_synced() -> None:
    assert outcomes(renamed, "lost") == [{"now": b"old"}]


def test_a_rename_of_a_synced_file_is_whole_or_not_at_all() -> None:
    """The way to replace a file: write, sync, rename, sync the directory."""
    found = outcomes(renamed, "torn")
    assert sorted(files["now"] for files in found) == [b"new", b"old", b"old"]


def test_after_the_directory_is_synced_a_rename_survives() -> None:
    def make() -> SimulatedDisk:
        disk = renamed()
        disk.sync_directory()
        return disk

    for mode in SURVIVABLE:
        assert outcomes(make, mode) == [{"now": b"new"}]


def test_a_rename_without_a_sync_of_the_file_may_leave_an_empty_one() -> None:
    def make() -> SimulatedDisk:
        disk = synced("now", b"old")
        disk.write("now.new", b"new")
        disk.rename("now.new", "now")
        return disk

    assert {"now": b""} in outcomes(make, "torn")


def test_a_removal_is_undone_until_the_directory_is_synced() -> None:
    def make() -> SimulatedDisk:
        disk = synced()
        disk.remove("log")
        return disk

    assert outcomes(make, "lost") == [{"log": b"safe"}]
    assert sorted(map(len, outcomes(make, "torn"))) == [0, 1]


def test_names_change_in_their_order() -> None:
    def make() -> SimulatedDisk:
        disk = SimulatedDisk()
        for name in "abc":
            disk.write(name, b"")
        return disk

    assert sorted(map("".join, outcomes(make, "torn"))) == ["", "a", "ab", "abc"]


# Torn files


def test_a_torn_tail_is_cut_anywhere_and_its_end_is_data_blanks_or_garbage() -> None:
    def make() -> SimulatedDisk:
        disk = synced()
        disk.append("log", b"12345678")
        return disk

    tails = [files["log"].removeprefix(b"safe") for files in outcomes(make, "torn")]
    assert all(len(tail) <= 8 for tail in tails)
    cut = [tail for tail in tails if b"12345678".startswith(tail)]
    blank = [tail for tail in tails if tail and not tail.strip(b"\0")]
    assert len(cut) > 3
    assert len(blank) > 3
    assert len(tails) > len(cut) + len(blank)


def test_damage_begins_where_a_sector_begins() -> None:
    data = b"x" * (3 * SECTOR_BYTES + 7)
    for seed in SEEDS:
        disk = synced(data=b"")
        disk.append("log", data)
        disk.crash("torn", Random(seed))
        good = len(disk.read("log")) - len(disk.read("log").lstrip(b"x"))
        assert good == len(disk.read("log")) or good % SECTOR_BYTES == 0


def test_a_torn_write_leaves_the_old_or_a_part_of_the_new() -> None:
    def make() -> SimulatedDisk:
        disk = synced()
        disk.write("log", b"12345678")
        return disk

    found = [files["log"] for files in outcomes(make, "torn")]
    assert b"safe" in found
    parts = [part for part in found if b"12345678".startswith(part)]
    assert min(map(len, parts)) == 0
    assert max(map(len, parts)) == 8
    assert not [part for part in found if part.startswith(b"safe") and part != b"safe"]


def test_what_a_crash_left_is_safe_from_the_next() -> None:
    disk = synced()
    disk.append("log", b"12345678" * 200)
    disk.crash("torn", Random(3))
    left = disk.read("log")
    disk.append("log", b"more")
    disk.crash("lost", Random(0))
    assert disk.read("log") == left


@given(
    st.lists(st.tuples(st.binary(max_size=700), st.booleans()), max_size=8),
    st.sampled_from(SURVIVABLE),
    st.integers(0, 2**32),
)
def test_a_log_keeps_what_was_synced_and_gains_nothing(
    appends: list[tuple[bytes, bool]], mode: Crash, seed: int
) -> None:
    disk, safe, written = synced(data=b""), b"", b""
    for data, sync in appends:
        disk.append("log", data)
        written += data
        if sync:
            disk.sync("log")
            safe = written
    disk.crash(mode, Random(seed))
    found = disk.read("log")
    assert found.startswith(safe)
    assert len(found) <= len(written)
    if mode == "kept":
        assert found == written
    if mode == "lost":
        assert found == safe


def test_one_seed_gives_one_outcome() -> None:
    def play(seed: int) -> list[tuple[str, bytes]]:
        disk, rng = synced(), Random(seed)
        for name in ("log", "note", "memo"):
            disk.append(name, b"12345678" * 100)
        disk.rename("note", "log")
        disk.crash("torn", rng)
        return [(name, disk.read(name)) for name in disk.names()]

    assert all(play(seed) == play(seed) for seed in SEEDS)
