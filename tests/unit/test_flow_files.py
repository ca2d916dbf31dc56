"""Files of rows: heads that NumPy wrote, and those that somebody else did."""

import io
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib import format as npy_format

from shoal.errors import ChangedFile, InvalidName, NotFound, ShoalError, UnreadableFile
from shoal.flow.messages import (
    CHUNK_BYTES,
    HALF,
    Form,
    Hash,
    Inspect,
    Source,
    row_bytes,
)
from shoal.flow.work import npy
from shoal.flow.work.files import DIGEST_BYTES, digest, inspect, reader, write_rows
from shoal.flow.work.npy import npy_head, read_head

NUMBERS = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=5, max_side=6)
FORMS = st.builds(
    lambda dtype, shape: (Form(dtype.str, shape[1:]), shape[0]), NUMBERS, SHAPES
)


def written(array: Any, version: tuple[int, int] | None = None) -> bytes:
    """A `.npy` file's bytes."""
    file = io.BytesIO()
    npy_format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


def headed(literal: str, version: bytes = b"\x01\x00") -> bytes:
    """A head that says that."""
    text = literal.encode("latin-1")
    width = 2 if version == b"\x01\x00" else 4
    return npy.MAGIC + version + len(text).to_bytes(width, "little") + text


def saying(descr: str = "'<f8'", order: str = "False", shape: str = "(3,)") -> bytes:
    return headed(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}")


# Heads


@given(NUMBERS, SHAPES, st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_what_numpy_saves_is_read(
    dtype: np.dtype[Any], shape: tuple[int, ...], version: tuple[int, int]
) -> None:
    array = np.zeros(shape, dtype)
    data = written(array, version)
    assert read_head(data, "a") == (
        Form(array.dtype.str, shape[1:]),
        shape[0],
        len(data) - array.nbytes,
    )


@given(FORMS)
def test_a_head_of_ours_is_read_by_numpy_and_by_us(given: tuple[Form, int]) -> None:
    form, rows = given
    head = npy_head(form, rows)
    assert len(head) % 64 == 0
    array = np.lib.format.read_array(
        io.BytesIO(head + bytes(rows * row_bytes(form))), allow_pickle=False
    )
    assert array.shape == (rows, *form.trailing)
    assert array.dtype.str == form.kind
    assert read_head(head, "a") == (form, rows, len(head))


def test_the_longest_head_of_ours_is_read() -> None:
    form = Form("<f8", (1,) * 31 + (2**50,))
    assert read_head(npy_head(form, 1), "a").form == form


@given(FORMS, st.data())
def test_a_head_that_is_cut_short_is_refused(
    given: tuple[Form, int], draw: st.DataObject
) -> None:
    head = npy_head(*given)
    cut = draw.draw(st.integers(0, len(head) - 1))
    with pytest.raises(UnreadableFile, match="file a: "):
        read_head(head[:cut], "a")


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.array([None]), "Python objects; save it with a numeric type"),
        (np.zeros(2, [("x", "<f8"), ("y", "<i4")]), "records or raw bytes"),
        (np.zeros(2, [("ü", "<f8")]), "records or raw bytes"),
        (np.zeros(2, "V8"), "records or raw bytes"),
        (np.zeros((2, 3), order="F"), "ascontiguousarray"),
        (np.float64(1.5), "one number and no rows"),
        (np.zeros(2, "M8[s]"), "it holds dates"),
        (np.zeros(2, "m8[s]"), "it holds times"),
        (np.array(["a", "bc"]), "it holds text"),
        (np.array([b"a"]), "it holds text"),
        (np.zeros((2, 0)), "its rows hold no numbers"),
        (np.zeros(2, np.longdouble), "no type that all machines know"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_what_is_not_rows_of_numbers_is_refused_by_name(array: Any, cause: str) -> None:
    with pytest.raises(UnreadableFile, match=cause) as caught:
        read_head(written(np.asanyarray(array)), "temps.npy")
    assert str(caught.value).startswith("file temps.npy: ")


def test_what_other_writers_write_is_read() -> None:
    assert read_head(saying("'|b1'", shape="(7, 2)"), "a")[:2] == (Form("|b1", (2,)), 7)
    assert read_head(saying("'<i1'"), "a").form == Form("|i1")
    assert read_head(saying(shape="(3L,)"), "a").rows == 3
    assert read_head(saying(order="True"), "a").rows == 3  # One dimension: no matter.
    assert read_head(saying(shape="(0,)"), "a").rows == 0


HOSTILE = [
    b"",
    b"\x93NUMPY",
    npy.MAGIC + b"\x01\x00",
    npy.MAGIC + b"\x09\x00" + bytes(200),
    npy.MAGIC + b"\x02\x00\xff\xff\xff\xff" + bytes(200),
    headed("{" * 9000),
    headed("(" * 9000),
    headed("-" * 9999 + "1"),
    headed("1" + "+1" * 4000),
    headed("[" * 150 + "]" * 150),
    headed("9" * 9000),
    headed("\x00" * 100),
    headed("{'descr': '<f8'}"),
    headed("__import__('os').abort()"),
    headed("{[]: 1}"),
    headed("ÿ" * 100, b"\x03\x00"),
    saying("'|O'"),
    saying("'<f99'"),
    saying("'<f8garbage'"),
    saying("'<f'"),
    saying("'f8'"),
    saying("'=f8'"),
    saying("'<f8\\n'"),
    saying("''"),
    saying("8"),
    saying("0x" + "f" * 5000),
    saying("('<f8', (3,))"),
    saying(order="2"),
    saying(order="'no'"),
    saying(shape="(-1,)"),
    saying(shape="(True,)"),
    saying(shape="(1.5,)"),
    saying(shape="[3]"),
    saying(shape="3"),
    saying(shape="(4611686018427387904,)"),
    saying(shape="(4611686018427387903,)"),
    saying(shape="(" + "1," * 34 + ")"),
    saying(shape="(" + "4611686018427387903," * 33 + ")"),
    saying(shape="(0x" + "f" * 5000 + ",)"),
    saying(shape="(3, -0x" + "f" * 5000 + ")"),
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: str(data[:60]))
def test_hostile_heads_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read_head(data, "a")
    assert str(caught.value).startswith("file a: ")
    assert len(str(caught.value)) < 1000


@given(st.binary(max_size=300), st.booleans())
def test_junk_is_never_more_than_refused(junk: bytes, begun: bool) -> None:
    data = headed(junk.decode("latin-1")) if begun else junk
    with pytest.raises(UnreadableFile):
        read_head(data, "a")


@given(st.data())
def test_a_flipped_byte_is_refused_or_read(draw: st.DataObject) -> None:
    data = bytearray(saying())
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        head = read_head(bytes(data), "a")
    except UnreadableFile:
        return
    assert head.rows >= 0
    assert head.offset <= len(data)


# Files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "temps.npy"


def test_a_file_is_inspected(path: Path) -> None:
    np.save(path, np.arange(12, dtype=">i4").reshape(4, 3))
    found, status = inspect(Inspect(str(path))), path.stat()
    assert (found.form, found.rows) == (Form(">i4", (3,)), 4)
    assert found.offset == status.st_size - 48
    assert found.stamp == (status.st_size, status.st_mtime_ns, status.st_ino)


def test_symbolic_links_are_followed(path: Path) -> None:
    np.save(path, np.zeros(3))
    link = path.with_name("link.npy")
    link.symlink_to(path)
    assert inspect(Inspect(str(link))) == inspect(Inspect(str(path)))
    path.unlink()
    with pytest.raises(NotFound, match=r"link\.npy: it has gone"):
        inspect(Inspect(str(link)))
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(UnreadableFile, match="symbolic links"):
        inspect(Inspect(str(link)))


@pytest.mark.parametrize("left", [0, 5, 9, 64, 127, 128, 129, 151])
def test_a_file_that_is_cut_short_is_refused(path: Path, left: int) -> None:
    np.save(path, np.zeros(3))
    os.truncate(path, left)
    with pytest.raises(UnreadableFile, match=r"file temps\.npy: "):
        inspect(Inspect(str(path)))


def test_more_than_the_rows_is_no_harm(path: Path) -> None:
    np.save(path, np.zeros(3))
    with path.open("ab") as file:
        file.write(b"more")
    assert inspect(Inspect(str(path))).rows == 3


def test_what_is_no_file_is_refused_and_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for each in (tmp_path / "fifo", tmp_path, Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(UnreadableFile):
            inspect(Inspect(str(each)))
    with pytest.raises(ShoalError):
        inspect(Inspect("nul\0in the middle"))
    with pytest.raises(NotFound):
        inspect(Inspect(str(tmp_path / "none")))


# Digests


@pytest.mark.parametrize(
    "size", [0, 1, (1 << 20) + 1, CHUNK_BYTES, CHUNK_BYTES + 7, 2 * CHUNK_BYTES]
)
def test_digests_are_of_chunks_and_of_all(path: Path, size: int) -> None:
    rows = np.random.default_rng(size).bytes(size)
    path.write_bytes(b"head" + rows + b"tail")
    found = digest(Hash(str(path), 4, size, "<f8"))
    assert found.chunks == tuple(
        blake2b(rows[start : start + CHUNK_BYTES], digest_size=DIGEST_BYTES).digest()
        for start in range(0, size, CHUNK_BYTES)
    )
    assert len(found.whole) == DIGEST_BYTES


def test_other_rows_have_another_digest(path: Path) -> None:
    path.write_bytes(bytes(64))
    asked = [(0, 64, "<f8"), (0, 64, "<i8"), (0, 56, "<f8")]
    assert len({digest(Hash(str(path), *each)).whole for each in asked}) == 3
    assert digest(Hash(str(path), 8, 56, "<f8")).whole == (
        digest(Hash(str(path), 0, 56, "<f8")).whole
    )


def test_a_digest_of_more_than_there_is_is_refused(path: Path) -> None:
    path.write_bytes(bytes(64))
    with pytest.raises(ChangedFile, match="it ends at byte 64"):
        digest(Hash(str(path), 0, 65))


# Rows


def source(path: Path, rows: Any, start: int = 0, stop: int | None = None) -> Source:
    np.save(path, rows)
    seen = inspect(Inspect(str(path)))
    return Source(
        str(path), seen.offset, seen.form, start, stop or seen.rows, seen.stamp
    )


@given(NUMBERS, SHAPES, st.data())
def test_rows_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    draw: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.npy"
    count = int(np.prod(shape))
    rows = (np.arange(count) % 100).astype(dtype).reshape(shape)
    start = draw.draw(st.integers(0, shape[0] - 1))
    stop = draw.draw(st.integers(start + 1, shape[0]))
    with reader(source(path, rows, start, stop)) as read:
        middle = draw.draw(st.integers(0, read.rows))
        found = np.concatenate([read(0, middle), read(middle, read.rows)])
        assert read(0, 1).dtype == rows.dtype
    assert (found == rows[start:stop]).all()


def test_rows_of_a_file_that_changes_are_refused(path: Path) -> None:
    given = source(path, np.zeros(3))
    with pytest.raises(ChangedFile, match="--replace"), reader(given) as read:
        path.write_bytes(path.read_bytes() + read(0, 1).tobytes())
    with pytest.raises(ChangedFile, match="--replace"), reader(given):
        raise AssertionError("it was changed")


def test_rows_that_are_not_there_are_refused(path: Path) -> None:
    path.write_bytes(bytes(20))
    bare = Source(str(path), 0, Form("<f8"), 0, 3)
    with reader(bare) as read:
        assert read(0, 2).shape == (2,)
        with pytest.raises(ChangedFile, match=r"ends at byte 20, .* go on to byte 24"):
            read(1, 3)


def test_every_file_is_closed(path: Path) -> None:
    given = source(path, np.zeros(3))
    before = os.listdir("/proc/self/fd")
    with reader(given) as read:
        read(0, 1)
    path.write_bytes(b"other")
    with pytest.raises(ChangedFile), reader(given):
        pass
    with pytest.raises(UnreadableFile):
        inspect(Inspect(str(path)))
    assert os.listdir("/proc/self/fd") == before


# Results


@given(FORMS, st.integers(1, 4))
def test_what_is_written_is_there_and_whole(
    tmp_path_factory: pytest.TempPathFactory, given: tuple[Form, int], size: int
) -> None:
    form, count = given
    target = tmp_path_factory.getbasetemp() / "result"
    target.unlink(missing_ok=True)
    rows = np.ones((count, *form.trailing), form.kind)
    pieces = (rows[start : start + size] for start in range(0, count, size))
    write_rows(str(target), pieces, form, count, stays=False)
    assert target.read_bytes() == rows.tobytes()
    assert not target.with_name(f"result{HALF}").exists()


def test_what_cannot_be_whole_is_not_there(tmp_path: Path) -> None:
    form, rows = Form("<f8"), np.zeros(2)
    for bad in ([rows], [rows, rows], [np.zeros(3, "<f4")], [np.zeros((3, 1))]):
        with pytest.raises((AssertionError, TypeError)):
            write_rows(str(tmp_path / "result"), bad, form, 3, stays=False)
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_written_by_one_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "result"
    half = tmp_path / f"result{HALF}"
    half.write_bytes(b"another's")
    with pytest.raises(InvalidName, match="there is such a file already"):
        write_rows(str(target), [np.zeros(1)], Form("<f8"), 1, stays=True)
    assert half.read_bytes() == b"another's"
