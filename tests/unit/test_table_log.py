"""The table's log, cut at every byte, flipped at every byte, and misplaced."""

import errno
from random import Random
from struct import Struct
from time import perf_counter

import pytest

from shoal.core.machine import PeerId
from shoal.errors import DirectoryDamaged, NoSpace
from shoal.sim.disk import SimulatedDisk
from shoal.table import log
from shoal.table.messages import NEVER, Ballot, Group
from shoal.table.recovery import Remains
from shoal.table.storage import FRESH_CHECKPOINT, FRESH_SEGMENT, Log

PEER = PeerId("p")
BALLOT = Ballot(view=1, counter=1, peer=PEER, start=1)
PAIR = {b"a%d": b"x" * 40, b"b%d": b"y"}
FIRST, SECOND = "segment-0000000001", "segment-0000000002"


def changes(*pairs: tuple[bytes, bytes | None]) -> list[Group]:
    return [Group(BALLOT, [(1, key, 1, NEVER, value) for key, value in pairs])]


def opened(disk: SimulatedDisk, peer: PeerId = PEER) -> tuple[Log, dict[bytes, bytes]]:
    kept = Log(disk, peer, Random(len(disk.names())))
    entries = Remains(kept.recover()).entries
    return kept, {key: entry.value for key, entry in entries.items()}


def found(disk: SimulatedDisk) -> dict[bytes, bytes]:
    """What a restart finds; the disk stays as it is."""
    copy = SimulatedDisk()
    for name in disk.names():
        copy.write(name, disk.read(name))
    return opened(copy)[1]


def written(batches: int = 3) -> SimulatedDisk:
    """A log with some batches of two changes each, all safe."""
    disk = SimulatedDisk()
    kept, _ = opened(disk)
    for n in range(batches):
        pairs = [(key % n, value) for key, value in PAIR.items()]
        kept.commit(changes(*pairs), sync=True)
    return disk


def altered(disk: SimulatedDisk, name: str, data: bytes) -> SimulatedDisk:
    disk.write(name, data)
    return disk


ALL = {key % n: value for n in range(3) for key, value in PAIR.items()}
BUT_LAST = {key: value for key, value in ALL.items() if not key.endswith(b"2")}


def last_batch_begins(data: bytes) -> int:
    return data.rfind(b"\xf5SHL")


# What a crash may do


def test_what_was_committed_is_found_again() -> None:
    assert found(written()) == ALL


def test_cut_at_every_byte_of_its_last_batch_the_rest_is_whole() -> None:
    data = written().read(FIRST)
    for end in range(last_batch_begins(data), len(data)):
        assert found(altered(written(), FIRST, data[:end])) == BUT_LAST, end


def test_flipped_at_any_byte_of_its_last_batch_the_rest_is_whole() -> None:
    data = written().read(FIRST)
    for place in range(last_batch_begins(data), len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        assert found(altered(written(), FIRST, bytes(flipped))) == BUT_LAST, place


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\xf5SHL"])
def test_whatever_follows_the_last_batch_changes_nothing(filler: bytes) -> None:
    data = written().read(FIRST)
    for size in (1, 15, 16, 17, 600):
        assert found(altered(written(), FIRST, data + filler * size)) == ALL


def test_batches_of_one_sync_that_reached_the_disk_in_any_order_were_not_told() -> None:
    disk = written(1)
    kept, _ = opened(disk)
    begin = len(disk.read(SECOND))
    for n in (1, 2):
        kept.commit(changes((b"n%d" % n, b"z")), sync=False)
    data = bytearray(disk.read(SECOND))
    data[begin + 20] ^= 1  # The first of the two never got there, the second did.
    assert set(found(altered(disk, SECOND, bytes(data)))) == {b"a0", b"b0"}


def test_old_bytes_at_the_same_place_do_not_pass() -> None:
    """What another life wrote into a segment of the same number is not this one's."""
    old, disk = written().read(FIRST), SimulatedDisk()
    list(Log(disk, PEER, Random("another life")).recover())
    opening = disk.read(FIRST)
    assert len(opening) == len(written(0).read(FIRST))
    assert found(altered(disk, FIRST, opening + old[len(opening) :])) == {}


def test_a_frame_within_a_value_is_no_frame() -> None:
    """Not even for somebody who knows where it will lie, and claims it was safe."""
    disk = written()
    data = disk.read(FIRST)
    forged = log.frame(log.Commit(1 << 40, changes((b"f", b"f"))), 0, len(data) + 90)
    kept, _ = opened(disk)
    kept.commit(changes((b"v", forged)), sync=False)
    data = disk.read(SECOND)
    for end in range(len(data) - len(forged), len(data)):
        assert found(altered(disk, SECOND, data[:end])) == ALL


def test_a_torn_value_full_of_marks_is_read_at_once() -> None:
    """Each says that its body reaches to the end: all were checked, quadratically."""
    disk, count = written(), 1 << 16
    kept, _ = opened(disk)
    for_each = Struct("<4sIIQ12x")
    value = b"".join(
        for_each.pack(b"\xf5SHL", for_each.size * (count - n - 1), 0, 0)
        for n in range(count)
    )
    kept.commit(changes((b"v", value)), sync=False)
    data = bytearray(disk.read(SECOND))
    data[data.rfind(b"commit")] ^= 1
    torn = altered(disk, SECOND, bytes(data))
    began = perf_counter()
    assert found(torn) == ALL
    assert perf_counter() - began < 1


def test_what_only_the_cache_held_is_written_again_by_the_next_start() -> None:
    disk = written(1)
    kept, _ = opened(disk)
    kept.commit(changes((b"c", b"1")), sync=False)
    disk.crash("kept", Random(0))
    assert b"c" in opened(disk)[1]  # Somebody may have read it now.
    disk.crash("lost", Random(0))
    assert b"c" in found(disk)


# What only damage does


def test_flipped_at_any_byte_before_its_last_batch_it_is_damaged() -> None:
    data = written().read(FIRST)
    for place in range(last_batch_begins(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        with pytest.raises(DirectoryDamaged, match=f"table file {FIRST}: ") as told:
            found(altered(written(), FIRST, bytes(flipped)))
        assert "; restore the directory" in str(told.value)
        assert "\n" not in str(told.value)


def two_segments() -> SimulatedDisk:
    disk = written(2)
    kept, _ = opened(disk)
    kept.commit(changes((b"c", b"z")), sync=True)
    return disk


def test_a_segment_that_lost_what_its_follower_counts_on_is_damaged() -> None:
    data = two_segments().read(FIRST)
    with pytest.raises(DirectoryDamaged, match=f"{FIRST}: byte .* is not whole"):
        found(altered(two_segments(), FIRST, data[: last_batch_begins(data) - 1]))


@pytest.mark.parametrize("size", [0, 1, 16, 30])
def test_a_segment_without_a_beginning_is_damaged(size: int) -> None:
    data = two_segments().read(SECOND)
    with pytest.raises(DirectoryDamaged, match=f"{SECOND}: it does not begin"):
        found(altered(two_segments(), SECOND, data[:size]))


def test_a_missing_segment_is_named() -> None:
    disk = two_segments()
    disk.remove(FIRST)
    with pytest.raises(DirectoryDamaged, match=f"{FIRST}: it is missing"):
        found(disk)


def test_a_segment_of_another_time_does_not_fit() -> None:
    other = SimulatedDisk()
    list(Log(other, PEER, Random("other")).recover())
    disk = altered(two_segments(), FIRST, other.read(FIRST))
    with pytest.raises(DirectoryDamaged, match=f"{SECOND}: it does not follow"):
        found(disk)


def test_a_directory_of_another_peer_is_refused() -> None:
    with pytest.raises(DirectoryDamaged, match="it belongs to p, not to q"):
        opened(written(), PeerId("q"))


def test_another_format_is_refused() -> None:
    opening = log.Opening(log.FORMAT + 1, PEER, 1, 5)
    disk = altered(SimulatedDisk(), FIRST, log.opening_frame(opening))
    with pytest.raises(DirectoryDamaged, match="format is 4, this program's 3; run"):
        found(disk)


@pytest.mark.parametrize("name", ["notes.txt", "segment-1", "segment-0000000001.bak"])
def test_a_foreign_file_is_named(name: str) -> None:
    with pytest.raises(DirectoryDamaged, match=f"table file {name}: it is not of a"):
        found(altered(written(), name, b"?"))


def test_a_foreign_file_that_comes_while_the_peer_runs_is_let_lie() -> None:
    disk = written()
    kept, has = opened(disk)
    altered(disk, "notes.txt", b"?")
    kept.begin_checkpoint()
    kept.add(changes(*has.items()))
    kept.end_checkpoint()
    assert disk.names() == [CHECKPOINT, "notes.txt", THIRD]


class Unreadable(SimulatedDisk):
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        raise OSError(errno.EIO, "bad sector", name)


def test_a_file_that_cannot_be_read_is_damaged() -> None:
    disk = altered(Unreadable(), FIRST, b"?")
    with pytest.raises(DirectoryDamaged, match=f"{FIRST}: .*bad sector"):
        opened(disk)


# Checkpoints


def checkpointed() -> SimulatedDisk:
    disk = written(2)
    kept, has = opened(disk)
    kept.begin_checkpoint()
    for key, value in has.items():
        kept.add(changes((key, value)))
    kept.commit(changes((b"c", b"z")), sync=True)
    kept.end_checkpoint()
    return disk


CHECKPOINT, THIRD = "checkpoint-0000000002", "segment-0000000003"


def test_a_checkpoint_and_what_follows_is_all_there_is() -> None:
    disk = checkpointed()
    assert disk.names() == [CHECKPOINT, THIRD]
    assert set(found(disk)) == {b"a0", b"b0", b"a1", b"b1", b"c"}


def test_a_checkpoint_that_is_not_whole_is_damaged() -> None:
    data = checkpointed().read(CHECKPOINT)
    whole = "it does not begin|it is whole to byte"
    for end in range(len(data)):
        with pytest.raises(DirectoryDamaged, match=f"{CHECKPOINT}: ({whole})"):
            found(altered(checkpointed(), CHECKPOINT, data[:end]))
    with pytest.raises(DirectoryDamaged, match=f"{CHECKPOINT}: ({whole})"):
        found(altered(checkpointed(), CHECKPOINT, data + b"\0"))


def test_a_flipped_checkpoint_is_damaged() -> None:
    data = checkpointed().read(CHECKPOINT)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1
        with pytest.raises(DirectoryDamaged, match=f"table file {CHECKPOINT}: "):
            found(altered(checkpointed(), CHECKPOINT, bytes(flipped)))


@pytest.mark.parametrize("name", [CHECKPOINT, THIRD])
def test_a_checkpoint_without_its_follower_or_the_other_way_is_damaged(
    name: str,
) -> None:
    disk = checkpointed()
    disk.remove(name)
    with pytest.raises(DirectoryDamaged, match="it is missing"):
        found(disk)


# Full disks


def test_a_start_on_a_full_disk_says_so_and_harms_nothing() -> None:
    disk = written()
    disk.capacity_bytes = len(disk.read(FIRST)) + 10
    with pytest.raises(NoSpace, match="peer's disk: the disk is full; free some"):
        opened(disk)
    disk.capacity_bytes = 1e9
    assert opened(disk)[1] == ALL


def test_what_a_crash_left_half_written_makes_room_first() -> None:
    disk = written()
    altered(disk, FRESH_CHECKPOINT, bytes(5000))
    altered(disk, FRESH_SEGMENT, b"half")
    disk.capacity_bytes = len(disk.read(FIRST)) + 500
    assert opened(disk)[1] == ALL
    assert disk.names() == [FIRST, SECOND]


def test_a_checkpoint_that_found_no_room_gives_back_what_it_had() -> None:
    disk = written()
    kept, has = opened(disk)
    kept.begin_checkpoint()
    disk.capacity_bytes = sum(len(disk.read(name)) for name in disk.names()) + 50
    with pytest.raises(NoSpace):
        kept.add(changes(*has.items()))
    kept.drop_checkpoint()
    assert FRESH_CHECKPOINT not in disk.names()
    kept.commit(changes((b"c", b"z")), sync=True)
    assert found(disk) == {**ALL, b"c": b"z"}
