"""What only grows is a counter, by name and by type."""

from prometheus_client.exposition import generate_latest

from shoal.catalog.service import CatalogFigures
from shoal.flow.service import FlowFigures
from shoal.table.service import TableFigures
from shoal.web.metrics import Metrics


def figures(turned_away: int) -> list[str]:
    metrics = Metrics("me", "n-1")
    metrics.measure(
        [],
        links=1,
        connections=2,
        turned_away=turned_away,
        junk=4,
        slowness=1.0,
        table=TableFigures(keys=1, requests=5, commits=6, changes_unsafe=0),
        flow=FlowFigures(
            jobs_ended={"done": 7},
            steps_ended={"done": 8, "failed": 9},
            moved_bytes=10,
            received_bytes=11,
            tasks_queued=12,
            datasets=13,
        ),
    )
    metrics.measure_catalog(CatalogFigures(14, 15, 16, 17, 18))
    return generate_latest(metrics.registry).decode().splitlines()


def test_totals_are_counters_and_nothing_else_is() -> None:
    kinds = dict(line.split()[2:] for line in figures(3) if line.startswith("# TYPE"))
    counters = {name for name, kind in kinds.items() if kind == "counter"}
    assert counters == {name for name in kinds if name.endswith("_total")}
    assert counters == {
        "shoal_catalog_updates_total",
        "shoal_connections_refused_total",
        "shoal_datagrams_dropped_total",
        "shoal_flow_jobs_ended_total",
        "shoal_flow_moved_bytes_total",
        "shoal_flow_received_bytes_total",
        "shoal_flow_steps_ended_total",
        "shoal_table_batches_unknown_total",
        "shoal_table_commits_total",
        "shoal_table_keys_moved_total",
        "shoal_table_requests_total",
        "shoal_table_rounds_seconds_total",
        "shoal_table_rounds_total",
    }


def test_totals_tell_what_was_counted() -> None:
    assert "shoal_connections_refused_total 3.0" in figures(3)
    assert "shoal_datagrams_dropped_total 4.0" in figures(3)
    assert "shoal_table_requests_total 5.0" in figures(3)


def test_flow_tells_what_became_of_jobs_and_steps() -> None:
    told = figures(3)
    assert 'shoal_flow_jobs_ended_total{state="done"} 7.0' in told
    assert 'shoal_flow_jobs_ended_total{state="failed"} 0.0' in told
    assert 'shoal_flow_steps_ended_total{state="failed"} 9.0' in told
    assert "shoal_flow_moved_bytes_total 10.0" in told
    assert "shoal_flow_received_bytes_total 11.0" in told
    assert "shoal_flow_tasks 12.0" in told
    assert "shoal_flow_datasets 13.0" in told


def test_a_catalog_tells_what_became_of_updates() -> None:
    told = figures(3)
    assert "shoal_catalog_records 14.0" in told
    counts = (("taken", 15), ("refused", 16), ("junk", 17), ("dropped", 18))
    for outcome, count in counts:
        line = f'shoal_catalog_updates_total{{outcome="{outcome}"}} {count}.0'
        assert line in told
