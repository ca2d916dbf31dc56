"""A plot as SVG: lines over a number, nothing that a browser has to fetch."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 130, 20, 50

# Told apart by people who see no red or green (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Points = Sequence[tuple[float, float]]


def svg(lines: Mapping[str, Points], across: str, up: str) -> str:
    """Each line by its name, both axes from nought, and what they count."""
    most_x = max(x for points in lines.values() for x, _ in points)
    most_y = _rounded_up(max(y for points in lines.values() for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * x / most_x,
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / most_y,
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for step in range(5):
        (left, y), (right, _) = (place(x, most_y * step / 4) for x in (0, most_x))
        parts.append(
            f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#ddd"/>'
            f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">'
            f"{most_y * step / 4:,.0f}</text>"
        )
    for x in sorted({x for points in lines.values() for x, _ in points}):
        at, bottom = place(x, 0)
        parts.append(
            f'<text x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">{x:g}</text>'
        )
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        parts += _line(name, [place(*point) for point in points], colour)
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts += [
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(across)}</text>",
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(up)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(name: str, places: Points, colour: str) -> list[str]:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    return [
        f'<polyline points="{corners}" fill="none" stroke="{colour}" '
        'stroke-width="2"/>',
        *(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
            for x, y in places
        ),
        f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{escape(name)}</text>',
    ]


def _rounded_up(most: float) -> float:
    """The next of 1, 2, 4 and 8 times a power of ten."""
    power = 1.0
    while power * 10 <= most:
        power *= 10
    return next(power * n for n in (1, 2, 4, 8, 10) if power * n >= most)
