"""What may go wrong, as data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the network may do to what is sent.

    Datagrams suffer all of it. Links are TCP: loss becomes delay, order is kept,
    corruption is found by checksums. Latency drawn anew for each datagram is what
    reorders them.
    """

    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    latency_s: tuple[float, float] = (0.01, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How one peer's clock differs from the true time."""

    offset_s: float = 0.0
    rate: float = 1.0

    def read(self, true_s: float) -> float:
        """What the clock shows then."""
        return self.offset_s + self.rate * true_s

    def true(self, shown_s: float) -> float:
        """When it shows that: a nanosecond later, lest rounding make it earlier."""
        return (shown_s - self.offset_s) / self.rate + 1e-9


CALM = Faults()

# TCP's first retransmission on Linux; each further one waits twice as long.
RETRANSMIT_S = 0.2

# A link gives up on a message that could not be delivered for so long.
LINK_PATIENCE_S = 5.0
