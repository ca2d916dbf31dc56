"""How well we hear, ourselves (Lifeguard's local health).

A peer that is starved of time or of network misses answers that were given. It
should doubt itself before it doubts others, and take longer over every judgement.
"""

from dataclasses import dataclass

# Lifeguard's: at its worst a peer waits nine times as long before it judges.
WORST = 8


@dataclass(slots=True)
class Health:
    """Zero is well."""

    score: int = 0

    @property
    def slowness(self) -> int:
        """By how much to stretch intervals and patience."""
        return 1 + self.score

    def worsen(self, by: int) -> None:
        """Something speaks against our own hearing."""
        self.score = max(0, min(WORST, self.score + by))

    def improve(self) -> None:
        """We heard what we asked for."""
        self.score = max(0, self.score - 1)
