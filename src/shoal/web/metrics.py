"""Every figure a peer exports, in one place. Base units, prefix `shoal_`."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Gauge, Info
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from shoal.catalog.service import CatalogFigures
from shoal.flow.service import FlowFigures, State
from shoal.members.service import MemberRecord
from shoal.table.replication.round import Pace
from shoal.table.replication.standing import Standing
from shoal.table.service import TableFigures
from shoal.version import VERSION

# How jobs end, and steps of them.
ENDED: tuple[State, ...] = ("done", "failed")


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
        self._make_sharing()
        self._make_flow()

    def _make_sharing(self) -> None:
        self._view = self._gauge("table_view", "The number of the table's view.")
        self._voters = self._gauge("table_view_members", "Peers that are in it.")
        self._majority = self._gauge(
            "table_view_majority", "1 if this peer sees most of them, else 0."
        )
        self._owned = self._gauge("table_units_owned", "Units this peer answers for.")
        self._unwhole = self._gauge(
            "table_units_not_whole", "Of those, units that not every replica has whole."
        )
        self._moving = self._gauge(
            "table_units_moving", "Units that the view has moved, until they have."
        )
        self._keys_moved = self._total(
            "table_keys_moved", "Keys received as units moved or were mended."
        )
        self._rounds = self._total(
            "table_rounds", "Rounds that enough replicas have answered."
        )
        self._rounds_s = self._total(
            "table_rounds_seconds", "How long those took, in all."
        )
        self._unknown = self._total(
            "table_batches_unknown", "Batches whose outcome nobody could be told."
        )

    def measure_sharing(self, standing: Standing, pace: Pace) -> None:
        """Take the figures of the table that all share as they are now."""
        self._view.set(standing.view)
        self._voters.set(len(standing.members))
        self._majority.set(standing.majority)
        self._owned.set(len(standing.open))
        self._unwhole.set(standing.unwhole)
        self._moving.set(standing.moving)
        self._keys_moved.count = standing.keys_moved
        self._rounds.count = pace.rounds
        self._rounds_s.count = pace.seconds
        self._unknown.count = pace.unknown

    def _make_flow(self) -> None:
        self._jobs = self._total(
            "flow_jobs_ended", "Jobs whose end this peer wrote.", "state"
        )
        self._steps = self._total(
            "flow_steps_ended", "Steps of jobs carried out at this peer.", "state"
        )
        self._moved = self._total(
            "flow_moved_bytes", "What moved between peers for those jobs."
        )
        self._received = self._total(
            "flow_received_bytes", "Rows of datasets that other peers sent."
        )
        self._tasks = self._gauge(
            "flow_tasks", "Tasks of this peer's workers, waiting or under way."
        )
        self._datasets = self._gauge(
            "flow_datasets", "Datasets of the network this peer knows."
        )
        self._records = self._gauge(
            "catalog_records", "Records in this peer's catalog, if it has one."
        )
        self._updates = self._total(
            "catalog_updates", "Updates that came to it.", "outcome"
        )

    def measure_catalog(self, catalog: CatalogFigures) -> None:
        """Take the figures of a catalog as they are now."""
        self._records.set(catalog.records)
        self._updates.counts = {
            "taken": catalog.updates,
            "refused": catalog.refused,
            "junk": catalog.junk,
            "dropped": catalog.dropped,
        }

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
        flow: FlowFigures,
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
        self._measure_flow(flow)

    def _measure_flow(self, flow: FlowFigures) -> None:
        self._jobs.counts = {each: flow.jobs_ended.get(each, 0) for each in ENDED}
        self._steps.counts = {each: flow.steps_ended.get(each, 0) for each in ENDED}
        self._moved.count = flow.moved_bytes
        self._received.count = flow.received_bytes
        self._tasks.set(flow.tasks_queued)
        self._datasets.set(flow.datasets)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"shoal_{name}", text, labels, registry=self.registry)

    def _total(self, name: str, text: str, label: str = "") -> "_Total":
        total = _Total(f"shoal_{name}", text, label)
        self.registry.register(total)
        return total


class _Total(Collector):
    """What is counted elsewhere: the library's own Counter could only be increased."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name = name  # Without the `_total` that is shown.
        self._text = text
        self._label = label
        self.count: float = 0
        self.counts: Mapping[str, int] = {}  # Instead, if there is a label.

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The count as it is now, or that of each label."""
        if not self._label:
            yield CounterMetricFamily(self._name, self._text, value=self.count)
            return
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for each, count in self.counts.items():
            family.add_metric([each], count)
        yield family
