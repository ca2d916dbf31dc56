"""Lines typed by hand."""

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.table.redis.inline import split

LINES: list[tuple[bytes, list[bytes]]] = [
    (b"", []),
    (b"  \t ", []),
    (b"SET a b", [b"SET", b"a", b"b"]),
    (b"  SET\ta  b ", [b"SET", b"a", b"b"]),
    (b'SET "a b" "\\x41\\n\\q"', [b"SET", b"a b", b"A\nq"]),
    (b"SET 'a \\' b' 'c\\d'", [b"SET", b"a ' b", b"c\\d"]),
    (b'a"b c" d', [b"ab c", b"d"]),
    (b"a'b c' d", [b"ab c", b"d"]),
    (b'""', [b""]),
    (b'"\\x4"', [b"x4"]),
    (b"a\x0bb", [b"a\x0bb"]),
]

UNBALANCED = [b'"', b"'", b'"a"b', b"'a'b", b'a"', b"'a\\'", b'"a\\"', b"'a\\\\'"]


@pytest.mark.parametrize(("line", "words"), LINES)
def test_words(line: bytes, words: list[bytes]) -> None:
    assert split(line) == words


@pytest.mark.parametrize("line", UNBALANCED)
def test_unbalanced(line: bytes) -> None:
    with pytest.raises(hiredis.ProtocolError, match="unbalanced"):
        split(line)


@given(st.lists(st.binary()))
def test_every_word_can_be_typed(words: list[bytes]) -> None:
    line = " ".join(
        '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words
    )
    assert split(line.encode()) == words


@given(st.binary(max_size=60))
def test_any_line_is_words_or_unbalanced(line: bytes) -> None:
    try:
        assert all(isinstance(word, bytes) for word in split(line))
    except hiredis.ProtocolError as wrong:
        assert "unbalanced" in str(wrong)  # noqa: PT017
