"""What to tell next: fresh news first, each told often enough to reach everybody."""

from heapq import nsmallest
from math import ceil, inf, log10

from shoal.core.machine import PeerId
from shoal.members.messages import MAX_NEWS, NEWS_BYTES, News, State
from shoal.members.roster import rank

# memberlist's: 4 times the decimal logarithm reaches everybody under heavy loss.
TELLINGS_PER_DECADE = 4

# Fresh news waits this long for company before the first round of telling.
BREATH_S = 0.005

_Key = tuple[PeerId, PeerId | None]


class Rumours:
    """News in the order of telling. One rumour a subject, one a doubter of it."""

    def __init__(self) -> None:
        self._news: dict[_Key, News] = {}
        self._told: dict[_Key, int] = {}
        self.due = inf

    def spread(self, news: News, now: float) -> None:
        """Begin to tell this, and stop telling what it overrides."""
        subject = news.profile.peer
        stale = [
            key
            for key, old in self._news.items()
            if key[0] == subject and rank(old) < rank(news)
        ]
        for key in stale:
            self._drop(key)
        witness = news.witness if news.state == State.SUSPECT else None
        self._news[subject, witness] = news
        self._told[subject, witness] = 0
        self.due = min(self.due, now + BREATH_S)

    def rest(self, until: float) -> None:
        """A round is told; the next begins then, if anything is left to tell."""
        self.due = until if self._news else inf

    def pick(self, members: int, first: News | None = None) -> tuple[News, ...]:
        """That, and the few least told."""
        picked = [first] if first else []
        room = NEWS_BYTES - sum(map(encoded_bytes, picked))
        limit = TELLINGS_PER_DECADE * ceil(log10(members + 1))
        others = (key for key in self._told if self._news[key] != first)
        keys = nsmallest(MAX_NEWS - len(picked), others, key=self._told.__getitem__)
        for key in keys:
            room -= encoded_bytes(self._news[key])
            if room < 0:
                break
            picked.append(self._news[key])
            self._told[key] += 1
            if self._told[key] >= limit:
                self._drop(key)
        return tuple(picked)

    def _drop(self, key: _Key) -> None:
        del self._news[key], self._told[key]


def encoded_bytes(news: News) -> int:
    """At most how long news is on the wire: its texts, and msgpack's numbers."""
    profile = news.profile
    texts = (profile.peer, profile.address, profile.host, profile.zone, news.witness)
    return 41 + sum(map(len, texts))
