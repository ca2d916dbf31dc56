"""What machines may rely on, of the simulated disk and of the real one alike."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.core.disk import Disk
from shoal.errors import InvalidName
from shoal.net.files import Files
from shoal.sim.disk import SimulatedDisk


@pytest.fixture(params=["simulated", "real"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return SimulatedDisk() if request.param == "simulated" else Files(tmp_path)


def test_a_new_disk_is_empty(disk: Disk) -> None:
    assert disk.names() == []


def test_append_makes_a_file_and_adds_to_its_end(disk: Disk) -> None:
    disk.append("log", b"one ")
    disk.append("log", b"")
    disk.append("log", b"two")
    assert disk.read("log") == b"one two"


def test_write_makes_a_file_and_replaces_all_of_it(disk: Disk) -> None:
    disk.write("note", b"a long one")
    disk.write("note", b"short")
    assert disk.read("note") == b"short"


def test_append_goes_on_after_write(disk: Disk) -> None:
    disk.write("log", b"head,")
    disk.append("log", b"tail")
    assert disk.read("log") == b"head,tail"


def test_a_part_can_be_read(disk: Disk) -> None:
    disk.write("log", b"0123456789")
    assert disk.read("log", 3, 4) == b"3456"
    assert disk.read("log", 7) == b"789"
    assert disk.read("log", 8, 5) == b"89"
    assert disk.read("log", 20, 5) == b""
    assert disk.read("log", 2, 0) == b""


def test_names_come_in_alphabetical_order(disk: Disk) -> None:
    for name in ("b", "c", "a.new", "a", "B"):
        disk.append(name, b"")
    assert disk.names() == ["B", "a", "a.new", "b", "c"]


def test_rename_moves_a_file(disk: Disk) -> None:
    disk.write("a", b"x")
    disk.rename("a", "b")
    assert (disk.names(), disk.read("b")) == (["b"], b"x")


def test_rename_replaces_what_had_the_name(disk: Disk) -> None:
    disk.write("fresh", b"new")
    disk.write("stale", b"old")
    disk.rename("fresh", "stale")
    assert (disk.names(), disk.read("stale")) == (["stale"], b"new")


def test_rename_to_itself_changes_nothing(disk: Disk) -> None:
    disk.write("a", b"x")
    disk.rename("a", "a")
    assert disk.read("a") == b"x"


def test_what_is_appended_after_a_rename_goes_to_the_new_name(disk: Disk) -> None:
    disk.append("a", b"1")
    disk.rename("a", "b")
    disk.append("b", b"2")
    disk.append("a", b"3")
    assert (disk.read("b"), disk.read("a")) == (b"12", b"3")


def test_remove_takes_a_file_away(disk: Disk) -> None:
    disk.write("a", b"x")
    disk.remove("a")
    assert disk.names() == []
    disk.append("a", b"y")
    assert disk.read("a") == b"y"


def test_syncing_changes_nothing_that_can_be_read(disk: Disk) -> None:
    disk.append("log", b"one")
    disk.sync("log")
    disk.sync_directory()
    disk.append("log", b"two")
    disk.sync("log")
    assert (disk.names(), disk.read("log")) == (["log"], b"onetwo")


MISSING: list[Callable[[Disk], object]] = [
    lambda disk: disk.read("gone"),
    lambda disk: disk.sync("gone"),
    lambda disk: disk.remove("gone"),
    lambda disk: disk.rename("gone", "there"),
]


@pytest.mark.parametrize("call", MISSING)
def test_a_missing_file_is_said_to_be_missing(
    disk: Disk, call: Callable[[Disk], object]
) -> None:
    with pytest.raises(FileNotFoundError):
        call(disk)
    assert disk.names() == []


ESCAPES = ["", ".", "..", "../a", "a/b", "/a", "a\0b", "a\n", ".hidden", "-f", "é"]
ESCAPES += ["a" * 101, "a\\b", "a b", "c:a"]
CALLS: list[Callable[[Disk, str], object]] = [
    lambda disk, name: disk.read(name),
    lambda disk, name: disk.append(name, b"x"),
    lambda disk, name: disk.write(name, b"x"),
    lambda disk, name: disk.sync(name),
    lambda disk, name: disk.rename(name, "b"),
    lambda disk, name: disk.rename("a", name),
    lambda disk, name: disk.remove(name),
]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out_of_the_directory(disk: Disk, name: str) -> None:
    disk.write("a", b"safe")
    for call in CALLS:
        with pytest.raises(InvalidName):
            call(disk, name)
    assert (disk.names(), disk.read("a")) == (["a"], b"safe")


# The two, side by side

NAMES = st.sampled_from(["a", "b", "c"])
BYTES = st.binary(max_size=5)
STEPS = st.one_of(
    st.tuples(st.just("append"), NAMES, BYTES),
    st.tuples(st.just("write"), NAMES, BYTES),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("sync"), NAMES),
    st.tuples(st.just("sync_directory")),
)


def tell(disk: Disk, step: tuple[object, ...]) -> object:
    """What a step answers, and what can then be seen."""
    call, *arguments = step
    try:
        answer = getattr(disk, str(call))(*arguments)
    except OSError as error:
        answer = (type(error), error.errno)
    return answer, [(name, disk.read(name)) for name in disk.names()]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
def test_both_disks_tell_the_same(
    steps: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    real, simulated = Files(tmp_path_factory.mktemp("disk")), SimulatedDisk()
    for step in steps:
        assert tell(real, step) == tell(simulated, step)


# The real one alone


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.append("log", b"x")
    files.write("note", b"x")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in files.names()]
    assert modes == [0o600, 0o600]


def test_what_is_not_a_file_of_ours_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "two words").write_bytes(b"")
    assert Files(tmp_path).names() == []


def test_files_are_found_again_by_the_next_process(tmp_path: Path) -> None:
    Files(tmp_path).append("log", b"x")
    assert Files(tmp_path).read("log") == b"x"


OVERFULL = """
import resource, sys
from pathlib import Path
from shoal.net.files import Files

files = Files(Path(sys.argv[1]))
files.append("log", b"12345678")
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    files.append("log", b"abc")
except OSError as error:
    print(type(error).__name__, files.read("log"))
files.append("log", b"ab")
files.sync("log")
print(files.read("log"))
"""


def test_an_append_that_fails_in_the_middle_adds_nothing(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", OVERFULL, str(tmp_path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout.splitlines() == ["OSError b'12345678'", "b'12345678ab'"], child
