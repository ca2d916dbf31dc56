"""Small histories drawn by hand, each named for what it shows.

A line is a client. Time goes to the right: an operation is called at its [ and returns
at its ]. A ? instead: it never returned. A !: nothing explains this return.
"""

import math
import re
from collections.abc import Hashable
from textwrap import dedent
from typing import Any

from shoal.sim.history import Operation, Outcome
from shoal.sim.models import Add, Delete, Read, RegisterAsked, Swap, Write

GOOD = {
    "concurrent writes, the first wins": """
        a  [write 1]
        b  [write 2]
        c             [read 1] [read 1]
        """,
    "concurrent writes, the second wins": """
        a  [write 1]
        b  [write 2]
        c             [read 2] [read 2]
        """,
    "a read during a write finds the old": """
        a  [write 1] [write 2     ]
        b               [read 1]
        """,
    "a read during a write finds the new": """
        a  [write 1] [write 2     ]
        b               [read 2]
        """,
    "two readers during a write, the old first": """
        a  [write 1] [write 2                ]
        b               [read 1]
        c                        [read 2]
        """,
    "a write that lasts is placed among those that come and go": """
        a  [write 1                               ]
        b   [write 2] [read 2] [read 1] [write 3]
        c                                          [read 3]
        """,
    "an unknown write takes effect much later": """
        a  [write 1 ?
        b             [write 2] [read 2] [write 3] [read 1]
        """,
    "an unknown write never takes effect": """
        a  [write 1 ?
        b             [write 2] [read 2] [write 3] [read 3]
        """,
    "an unknown write takes effect at once, another just before a read": """
        a  [write 1 ?
        b             [write 2 ?
        c                         [read 1] [swap 1 3 yes] [read 2]
        """,
    "two unknown writes of one value, both needed": """
        a  [write 1 ?
        b  [write 1 ?
        c             [read 1] [write 2] [read 1]
        """,
    "a swap fails during a write": """
        a  [write 1] [write 2         ]
        b               [swap 1 3 no]
        c                               [read 2]
        """,
    "a swap fails for a write that nobody ever saw": """
        a  [write 1] [write 2 ?
        b                       [swap 1 3 no] [write 1] [read 1]
        """,
    "of two unknown writes, one fails a swap and the other is read": """
        a  [write 1 ?
        b  [write 2 ?
        c             [swap - 5 no] [write 3] [read 1] [write 1]
        """,
    "a chain of unknown swaps": """
        a  [swap - 1 ?
        b  [swap 2 3 ?
        c  [swap 1 2 ?
        d               [read -] [read 3]
        """,
    "a swap that failed early and would have fitted later": """
        a  [swap 2 3 no                ]
        b               [write 2] [read 2]
        """,
    "an unknown swap that did nothing": """
        a  [write 1] [swap 2 3 ?
        b                        [read 1] [write 2] [read 2]
        """,
    "an unknown delete takes effect much later": """
        a  [delete ?
        b             [write 1] [read 1] [read -]
        """,
    "a value comes back because it was written again": """
        a  [write 1] [write 2]           [write 1]
        b                      [read 2]              [read 1]
        """,
    "a delete and a write together": """
        a  [write 1] [delete yes]
        b             [write 2 ]
        c                         [read 2] [delete yes] [read -]
        """,
    "a write seen before it returns, by one who then swaps": """
        a  [write 1                          ]
        b            [read 1] [swap 1 2 yes]
        c                                      [read 2]
        """,
    "writing nothing leaves nothing": """
        a  [write 1] [write -] [read -] [delete no] [swap - 2 yes]
        """,
    "a read that never returned tells nothing": """
        a  [write 1] [read 7 ?
        b                       [read 1]
        """,
}

BAD = {
    "stale read after an acknowledged write": """
        a  [write 1] [write 2]
        b                      [read 1!
        """,
    "acknowledged write lost": """
        a  [write 1]
        b            [read -!
        """,
    "lost update: two swaps from one value": """
        a  [write 0] [swap 0 1 yes]
        b             [swap 0 2 yes!
        """,
    "lock taken twice: two swaps from nothing, one after the other": """
        a  [swap - 1 yes]
        b                 [swap - 2 yes!
        """,
    "read goes backwards between clients": """
        a  [write 1] [write 2                      ]
        b               [read 2]
        c                         [read 1!
        """,
    "read goes backwards for one client": """
        a  [write 1] [write 2                      ]
        b               [read 2] [read 1!
        """,
    "value never written": """
        a  [write 1] [read 7!
        """,
    "value read before it was written": """
        a            [write 1]
        b  [read 1!
        """,
    "resurrected after delete": """
        a  [write 1] [delete yes]
        b                         [read 1!
        """,
    "resurrected by nobody after an unknown delete was seen": """
        a  [write 1] [delete ?
        b                        [read -] [read 1!
        """,
    "unknown write seen, then unseen": """
        a  [write 1] [write 2 ?
        b                       [read 2] [read 1!
        """,
    "unknown write seen before its call": """
        a               [write 2 ?
        b  [read 2!
        """,
    "one unknown write takes effect twice": """
        a  [write 1 ?
        b             [read 1] [write 2] [read 1!
        """,
    "unknown swap took effect though it never could": """
        a  [write 1] [swap 5 6 ?
        b                         [read 6!
        """,
    "swap failed though nothing else was there": """
        a  [write 1] [swap 1 2 no!
        """,
    "failed swap took effect": """
        a  [write 1] [swap 5 2 no]
        b                          [read 2!
        """,
    "swap succeeded from a value overwritten": """
        a  [write 1] [write 2]
        b                      [swap 1 3 yes!
        """,
    "swapped value comes back": """
        a  [write 1] [swap 1 2 yes]
        b                           [read 1!
        """,
    "two deletes removed one value": """
        a  [write 1] [delete yes]
        b              [delete yes!
        """,
    "delete found something where nothing was": """
        a  [write 1] [delete yes]
        b                         [delete yes!
        """,
    "delete found something where nothing was written": """
        a  [write 1] [write -] [delete yes!
        """,
    "delete missed what was there": """
        a  [write 1] [delete no!
        """,
    "two readers see two writes in opposite orders": """
        a  [write 1                         ]
        b  [write 2                         ]
        c      [read 1]   [read 2]
        d      [read 2]              [read 1!
        """,
    "readers disagree for good after concurrent writes": """
        a  [write 1]
        b  [write 2]
        c            [read 1]
        d                     [read 2!
        """,
    "own write not seen, but an older one": """
        a            [write 1] [read 2!
        b  [write 2]
        """,
    "two halves, each true to itself": """
        a  [write 1]           [read 1!
        b            [write 2]           [read 2]
        """,
    "chain of unknown swaps, seen backwards": """
        a  [swap - 1 ?
        b  [swap 1 2 ?
        c               [read 2] [read 1!
        """,
}

GOOD_COUNTS = {
    "two additions, told in either order": """
        a  [add 1 2]
        b  [add 1 1]  [read 2]
        """,
    "a count comes back": """
        a  [add 1 1] [add 1 2] [add -2 -] [read 0] [add 1 1]
        """,
    "unknown additions, some of them": """
        a  [add 1 ?
        b  [add 1 ?
        c  [add 1 ?
        d             [read 0] [read 2] [add 5 7] [read 8]
        """,
}

BAD_COUNTS = {
    "two additions told the same": """
        a  [add 1 1]
        b    [add 1 1!
        """,
    "addition lost": """
        a  [add 1 -] [add 1 -] [read 1!
        """,
    "more than was added": """
        a  [add 1 -] [add 1 ?
        b                      [read 3!
        """,
}

_DRAWN = re.compile(r"\[([^\]?!]+)([\]?!])")
_VALUES: dict[str, Hashable] = {"-": None, "yes": True, "no": False}


def drawn(picture: str) -> tuple[list[Operation[Any]], list[Operation[Any]]]:
    """The operations of a drawing, and those that it blames."""
    operations, blamed = [], []
    for line in dedent(picture).splitlines():
        for match in _DRAWN.finditer(line):
            asked, answered = _exchange(match[1].split())
            known = match[2] != "?"
            operation: Operation[Any] = Operation(
                client=line.split()[0],
                key="key",
                asked=asked,
                called=match.start(),
                answered=answered if known else Outcome.UNKNOWN,
                returned=match.end() if known else math.inf,
            )
            operations.append(operation)
            if match[2] == "!":
                blamed.append(operation)
    return operations, blamed


def _exchange(words: list[str]) -> tuple[RegisterAsked | Add, Hashable]:
    values = [_VALUES[each] if each in _VALUES else int(each) for each in words[1:]]
    match words[0], values:
        case "read", [answer]:
            return Read(), answer
        case "write", [value]:
            return Write(value), None
        case "swap", [expected, new, *answers]:
            return Swap(expected, new), answers[0] if answers else None
        case "delete", [*answers]:
            return Delete(), answers[0] if answers else None
        case "add", [int(amount), *answers]:
            return Add(amount), answers[0] if answers else None
    raise AssertionError(f"{words}: not an operation")
