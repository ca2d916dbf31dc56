"""One peer's address, its token, and what can be asked of it."""

from typing import TYPE_CHECKING, Any

from shoal.client.pages import Pages
from shoal.client.table import Table
from shoal.core.machine import Address

if TYPE_CHECKING:
    from shoal.client.handles import DatasetHandle, Handle
    from shoal.client.jobs import Flow, Job


class Client(Pages):
    """A network, by way of one of its peers. Nothing is sent before it is needed."""

    def __init__(
        self, address: Address, token: str = "", timeout_s: float = 10.0
    ) -> None:
        super().__init__(address, token, timeout_s)
        self.table = Table(address, timeout_s)

    @property
    def flow(self) -> "Flow":
        """Datasets, and what is computed of them."""
        from shoal.client.jobs import Flow  # Who asks the table does not need it.

        return Flow(self)

    def __getitem__(self, dataset: str) -> "DatasetHandle":
        """A dataset, to be computed with: `net["temps"].mean()`."""
        from shoal.client.handles import DatasetHandle

        return DatasetHandle(self.flow, dataset)

    def __repr__(self) -> str:
        return f"<network at {self.address}>"

    def datasets(self, tag: str = "") -> list[dict[str, Any]]:
        """Every dataset, or those with a tag."""
        return self.flow.datasets(tag)

    def jobs(self, tag: str = "") -> list[dict[str, Any]]:
        """Every job, or those with a tag, the latest first."""
        return self.flow.jobs(tag)

    def add(self, path: str, **wishes: object) -> dict[str, Any]:
        """Publish a file or a folder of the peer's machine."""
        return self.flow.add(path, **wishes)

    def fetch(self, name: str, to: str) -> int:
        """Save a dataset as one .npy file, or go on with that; its size."""
        return self.flow.fetch(name, to)

    def run(
        self,
        expression: "str | Handle",
        **wishes: Any,  # noqa: ANN401 - as `Flow.run` takes them.
    ) -> "Job":
        """Begin to compute something; returns at once."""
        return self.flow.run(expression, **wishes)

    def call(self, operation: str, *arguments: object) -> "Handle":
        """An operation by name: `net.call("real2bin", net["a"], net["b"])`."""
        return self.flow.call(operation, *arguments)

    def close(self) -> None:
        """Give the connection back; the next call makes another."""
        self.table.close()
        self.hang_up()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
