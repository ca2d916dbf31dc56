"""How to point at a place in a text that somebody wrote."""

from shoal.errors import BadExpression

# So much of the text is shown around what is wrong with it.
_SHOWN = 60


def complain(text: str, at: int, what: str) -> BadExpression:
    """An error that points at a place in the text."""
    first = max(0, at - _SHOWN // 2)
    piece = _plain(text[first : first + _SHOWN])
    before, after = "…" * (first > 0), "…" * (first + _SHOWN < len(text))
    caret = " " * (at - first + len(before)) + "^"
    return BadExpression(f"{what}\n  {before}{piece}{after}\n  {caret}")


def _plain(text: str) -> str:
    """Without what would move the caret or the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
