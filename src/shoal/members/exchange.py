"""Two rosters made level: sums first, then only the parcels that differ.

Gossip reaches almost everybody; what it missed is found here. In calm an exchange
is one datagram of 32 sums whatever the size of the network.
"""

from msgspec.structs import replace

from shoal.core.machine import PeerId, Send
from shoal.members.beliefs import Beliefs, MembersEffects
from shoal.members.messages import MAX_SYNC, PARCELS, Digest, News, State, Sync
from shoal.members.roster import parcel


class Exchange:
    """Comparing what we believe with what another does."""

    def __init__(self, beliefs: Beliefs) -> None:
        self._beliefs = beliefs

    def digest(self) -> Digest:
        """What we believe, in sums, and who we are."""
        me = self._beliefs.me
        return Digest(me, self._beliefs.roster.sums(me))

    def compared(self, sender: PeerId, digest: Digest, now: float) -> MembersEffects:
        """Answer a digest with what we know of the parcels that differ."""
        effects = self._beliefs.hear((digest.me,), now)
        mine = self.digest().sums
        differing = tuple(n for n in range(PARCELS) if mine[n] != digest.sums[n])
        if differing:
            effects += self._sync(sender, differing, reply=True)
        return effects

    def learned(self, sender: PeerId, sync: Sync, now: float) -> MembersEffects:
        """Take over what is new to us, and answer with what we know if asked."""
        # Told before we learn, so that we tell what we know and not what we heard.
        told = self._sync(sender, sync.parcels, reply=False) if sync.reply else []
        effects: MembersEffects = []
        for news in map(_doubtful, sync.news):
            # The living that one of us did not know are found by more exchanges, not
            # gossiped: a thousand newcomers would be a million rumours.
            quietly = news.state == State.ALIVE
            effects += self._beliefs.believe(news, now, quietly=quietly)
        return effects + told

    def _sync(
        self, to: PeerId, parcels: tuple[int, ...], *, reply: bool
    ) -> MembersEffects:
        members = (member.news for member in self._beliefs.roster.members)
        everybody = [self._beliefs.me, *members]
        wanted = [news for news in everybody if parcel(news.profile.peer) in parcels]
        starts = range(0, max(1, len(wanted)), MAX_SYNC)
        chunks = [tuple(wanted[start : start + MAX_SYNC]) for start in starts]
        last = len(chunks) - 1
        return [
            Send(to, Sync(chunk, parcels, reply and n == last))
            for n, chunk in enumerate(chunks)
        ]


def _doubtful(news: News) -> News:
    """What one other believes dead is only suspect: the partition may be theirs."""
    return replace(news, state=State.SUSPECT) if news.state == State.DEAD else news
