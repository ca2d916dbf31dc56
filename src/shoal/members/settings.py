"""How fast to notice a death; every other constant follows from that.

The time to notice, `notice_s`, is spent as (at most 50 peers, 99th percentile):
the dead one is first probed after 4.5 probe intervals, since each of n peers probes
one of the others per interval and (1 - 1/n)^(4.5 n) = 1 %; its probe stays open for
`verdict_s`; suspicion lasts `suspicion_s`; the news of its death takes the rest.
"""

from dataclasses import dataclass
from math import log


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersSettings:
    """The time to notice, and how long to remember."""

    notice_s: float = 2.0
    grace_s: float = 600.0

    @property
    def interval_s(self) -> float:
        """One probe starts each interval: 4.5 of them take a quarter of the time."""
        return self.notice_s / 20

    @property
    def patience_s(self) -> float:
        """How long a direct probe may take before others are asked to help."""
        return self.notice_s / 16

    @property
    def verdict_s(self) -> float:
        """How long a probe may take in all: direct, indirect and by TCP."""
        return self.notice_s / 5

    @property
    def gossip_s(self) -> float:
        """How long fresh news waits between two rounds of telling."""
        return self.notice_s / 28

    @property
    def digest_s(self) -> float:
        """How often to compare with one other: news that gossip lost is repaired."""
        return self.notice_s * 2.5

    @property
    def reunion_s(self) -> float:
        """How often to call on somebody who was lost, or on a seed contact."""
        return self.notice_s * 2.5

    def suspicion_s(self, members: int, confirmations: int, wanted: int) -> float:
        """How long to wait for a refutation: less as others confirm (Lifeguard).

        A refutation spreads in rounds that grow with the logarithm of the network.
        """
        spread = max(1.0, log(max(members, 1)) / log(50))
        least, most = 0.3 * self.notice_s * spread, 0.6 * self.notice_s * spread
        if wanted <= 0:
            return least
        share = log(min(confirmations, wanted) + 1) / log(wanted + 1)
        return most - (most - least) * share
