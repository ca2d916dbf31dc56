"""What was probably meant by a word that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches

# Longer words are no misspelt names, and comparing them takes long.
_MAX_WORD = 40

# A guess: `maen` is `mean`, `count` is not `conj`.
_ALIKE = 0.7


def nearest(word: str, known: Iterable[str]) -> str:
    """How to go on after naming the unknown word."""
    close = get_close_matches(word[:_MAX_WORD].lower(), list(known), n=3, cutoff=_ALIKE)
    if not close:
        return ": `shoal operations` lists them"
    return f": did you mean {' or '.join(f'`{name}`' for name in close)}?"
