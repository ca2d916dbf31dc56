"""One table at several real peers: short forms of the campaigns that prove it."""

from pathlib import Path

from tests.end_to_end import table_campaign
from tests.end_to_end.cluster import Cluster
from tests.end_to_end.faults import Fault, Trial
from tests.end_to_end.namespaces import require_namespaces
from tests.end_to_end.rolling import Load, Network, fill, grow_and_shrink
from tests.end_to_end.rolling import rolling_restart as restart_in_turn

KEYS = 5_000


ROUNDS = [
    Trial((Fault("killed", (0,)),), 1.0),
    Trial((Fault("cut off", (1,)),), 1.0),
    Trial((Fault("deaf", (2,)), Fault("stopped", (0,))), 1.0),
]


def test_what_clients_see_under_faults_is_possible_on_one_copy(tmp_path: Path) -> None:
    require_namespaces()
    tally = table_campaign.run(tmp_path, ROUNDS, seed=1, peers=3)
    assert tally.holds, str(tally)
    assert tally.operations > 500
    assert tally.kept


def test_peers_are_restarted_in_turn_and_nobody_notices(user: Cluster) -> None:
    network = Network(user, 3)
    load = Load(network.addresses)
    with load.running():
        restart_in_turn(network, load)
    assert load.took_s
    assert not load.failed
    assert not load.lost()


def test_peers_come_and_go_and_nobody_notices(user: Cluster) -> None:
    network = Network(user, 3)
    fill(network.addresses[0], KEYS)
    load = Load(network.addresses)
    with load.running():
        sizes = [change.after for change in grow_and_shrink(network, load)]
    assert sizes == [4, 5, 4]
    assert not load.failed
    assert not load.lost()
