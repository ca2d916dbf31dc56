"""Bytes and times as people say them."""


def bytes_of(count: float) -> str:
    """Such as 1.1 kB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def seconds_of(duration_s: float) -> str:
    """Such as 3.2 ms."""
    if duration_s >= 120:
        return f"{duration_s / 60:.1f} min"
    if duration_s >= 1:
        return f"{duration_s:.1f} s"
    if duration_s >= 1e-3 or not duration_s:
        return f"{duration_s * 1e3:.3g} ms"
    return f"{duration_s * 1e6:.0f} µs"
