"""How people read a value: in one line, with units, and how long ago."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode

# What a program of CCTools calls a megabyte.
_UNITS = ("MiB", "GiB", "TiB", "PiB", "EiB")

_SPANS = (("day", 86_400), ("h", 3600), ("min", 60))


def plain(value: Any) -> str:  # noqa: ANN401 - it is whatever JSON can say.
    """A value in one line: strings bare, numbers as genuine catalogs write them."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return f"{value:.16g}"
    return _encode(value).decode()


def visible(text: str) -> str:
    """Without letters that break a line, turn it round, or cannot be seen."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else " " for sign in text)


def laid_out(value: list[Any] | dict[str, Any]) -> str:
    """A list or an object over several lines."""
    text = msgspec.json.format(_encode(value), indent=2).decode()
    return "\n".join(map(visible, text.split("\n")))


def size(megabytes: float) -> str:
    """So much memory or disk, to three figures."""
    amount, unit = megabytes, _UNITS[0]
    for larger in _UNITS[1:]:
        if abs(amount) < 1000:
            break
        amount, unit = amount / 1024, larger
    if abs(amount) >= 100:
        return f"{amount:,.0f} {unit}"
    return f"{amount:.3g} {unit}" if unit == _UNITS[0] else f"{amount:#.3g} {unit}"


def ago(seconds: float) -> str:
    """How long since; the script of the page has the same in its own language."""
    whole = max(0, int(seconds))
    for unit, length in _SPANS:
        if whole >= 2 * length:
            plural = "s" if unit == "day" else ""
            return f"{whole // length} {unit}{plural} ago"
    return f"{whole} s ago"
