"""Why a plan is as it is, in sentences with the numbers that decided."""

from collections.abc import Mapping

from shoal.core.machine import PeerId
from shoal.flow.plans.stepping import Steps

# More is no explanation.
_MAX_SENTENCES = 20
_MAX_TEXT = 300

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def explained(
    steps: Steps,
    held: Mapping[PeerId, int],
    collector: PeerId,
    asked: PeerId,
    copying_bytes: int,
) -> tuple[str, ...]:
    """What was decided, the largest decisions first."""
    moved, copying = amount(steps.moved_bytes), amount(copying_bytes)
    last = f"{moved} move in all; copying every input to {asked} would move {copying}"
    decided = [*_joined(steps, held), *_local(steps), _partials(steps)]
    some = [sentence for sentence in decided if sentence][: _MAX_SENTENCES - 2]
    return (_collected(held, collector), *some, last)


def amount(size_bytes: int) -> str:
    """A size, for people: `8.0 MB`."""
    size, unit = float(size_bytes), 0
    while size >= 999.95 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size_bytes} B"


def _collected(held: Mapping[PeerId, int], collector: PeerId) -> str:
    if collector not in held:
        return f"{collector} collects: no rows are involved"
    share = amount(held[collector])
    if held[collector] < max(held.values()):
        return f"{collector} collects, drawn among the holders: it holds {share}"
    return f"{collector} collects: it holds {share} of the inputs, no other more"


def _local(steps: Steps) -> list[str]:
    """What is done where its rows lie."""
    done: dict[tuple[str, PeerId], int] = {}
    for step in steps.made:
        if step.sub:
            key = step.sub, step.executors[0]
            done[key] = done.get(key, 0) + step.rows
    rows = sorted(done.items(), key=lambda item: -item[1])
    return [
        f"`{about}` runs on {peer}, which holds all it needs: {count:,} rows"
        for (about, peer), count in rows
    ]


def _joined(steps: Steps, held: Mapping[PeerId, int]) -> list[str]:
    """What is sent to others, and what that saves."""
    flows: dict[tuple[str, PeerId, PeerId], tuple[int, int]] = {}
    for move in steps.moves.values():
        key = move.text, move.giver, move.taker
        size, made_of = flows.get(key, (0, 0))
        flows[key] = size + move.size_bytes, made_of + move.made_of_bytes
    largest = sorted(flows.items(), key=lambda item: -item[1][0])
    return [_flow(*key, *sizes, held.get(key[2], 0)) for key, sizes in largest]


def _flow(
    text: str, giver: PeerId, taker: PeerId, size: int, made_of: int, held: int
) -> str:
    shown = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
    saved = f" instead of {amount(made_of)} it is made of" if made_of != size else ""
    return (
        f"{amount(size)} of `{shown}` come from {giver} to {taker}{saved}; "
        f"{taker} holds {amount(held)} of the inputs"
    )


def _partials(steps: Steps) -> str:
    count = sum(step.reduction is not None for step in steps.made)
    many = "steps" if count > 1 else "step"
    return f"of {count:,} {many} only partials are sent" if count else ""
