"""Every figure a peer exports, in one place. Base units, prefix `shoal_`."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge, Info
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from shoal.members.service import MemberRecord
from shoal.table.service import TableFigures
from shoal.version import VERSION


class Metrics:
    """The figures of one peer, in a registry of its own."""

    def __init__(self, name: str, network: str) -> None:
        self.registry = CollectorRegistry()
        info = Info("shoal_peer", "Who this is.", registry=self.registry)
        info.info({"name": name, "network": network, "version": VERSION})
        self._members = self._gauge("members", "Members by state.", "state")
        self._links = self._gauge("links", "Peers with an open link.")
        self._connections = self._gauge("connections", "Open connections.")
        self._turned_away = self._total(
            "connections_refused", "Connections refused at the door."
        )
        self._junk = self._total(
            "datagrams_dropped", "Datagrams that were not of this network."
        )
        self._slowness = self._gauge(
            "slowness_ratio", "By how much this peer stretches its patience."
        )

        self._keys = self._gauge("table_keys", "Keys that have something.")
        self._requests = self._total(
            "table_requests", "Requests to the table that were answered."
        )
        self._commits = self._total("table_commits", "Batches of changes made safe.")
        self._unsafe = self._gauge(
            "table_changes_unsafe", "Changes not yet told to anybody."
        )

    def measure(
        self,
        members: Iterable[MemberRecord],
        *,
        links: int,
        connections: int,
        turned_away: int,
        junk: int,
        slowness: float,
        table: TableFigures,
    ) -> None:
        """Take the figures as they are now."""
        tally = Tally(each.state for each in members)
        for state in ("alive", "suspect", "dead", "left"):
            self._members.labels(state).set(tally[state])
        self._links.set(links)
        self._connections.set(connections)
        self._turned_away.count = turned_away
        self._junk.count = junk
        self._slowness.set(slowness)
        self._keys.set(table.keys)
        self._requests.count = table.requests
        self._commits.count = table.commits
        self._unsafe.set(table.changes_unsafe)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"shoal_{name}", text, labels, registry=self.registry)

    def _total(self, name: str, text: str) -> "_Total":
        total = _Total(f"shoal_{name}", text)
        self.registry.register(total)
        return total


class _Total(Collector):
    """What is counted elsewhere: the library's own Counter could only be increased."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name  # Without the `_total` that is shown.
        self._text = text
        self.count = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The count as it is now."""
        yield CounterMetricFamily(self._name, self._text, value=self.count)
