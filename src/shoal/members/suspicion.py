"""Doubts about members, and when a doubt becomes a verdict (Lifeguard).

One doubter waits long for a refutation; each further, independent one shortens the
wait. Doubters who were refused a new connection by the operating system know more
than silence can tell: two of them suffice, or all there are.
"""

from dataclasses import dataclass, field
from math import inf

from shoal.core.machine import PeerId
from shoal.members.messages import News, Reason
from shoal.members.settings import MembersSettings

# Two more doubters make the wait shortest; memberlist's default is the same.
CONFIRMATIONS_WANTED = 2
REFUSALS_WANTED = 2


@dataclass(slots=True)
class Suspicion:
    """A doubt about one life of one member."""

    began: float
    doubters: dict[PeerId, None] = field(default_factory=dict)
    refused: dict[PeerId, None] = field(default_factory=dict)
    due: float = inf

    def confirm(self, news: News, members: int, settings: MembersSettings) -> None:
        """Hear one more doubter. `members` counts us and the suspected one."""
        self.doubters[news.witness] = None
        if news.reason == Reason.REFUSED:
            self.refused[news.witness] = None
        wanted = min(CONFIRMATIONS_WANTED, members - 2)
        confirmations = len(self.doubters) - 1
        self.due = self.began + settings.suspicion_s(members, confirmations, wanted)
        if len(self.refused) >= min(REFUSALS_WANTED, members - 1):
            self.due = self.began  # Now: nothing is left to wait for.

    def withdraw(self, doubter: PeerId, now: float) -> None:
        """Doubt no longer: it has answered after all. Only later silence counts."""
        self.doubters.pop(doubter, None)
        self.refused.pop(doubter, None)
        self.began = now
