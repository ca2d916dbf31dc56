"""One peer's address, its token, and what can be asked of it."""

from shoal.client.pages import Pages
from shoal.client.table import Table
from shoal.core.machine import Address


class Client(Pages):
    """A network, by way of one of its peers. Nothing is sent before it is needed."""

    def __init__(
        self, address: Address, token: str = "", timeout_s: float = 10.0
    ) -> None:
        super().__init__(address, token, timeout_s)
        self.table = Table(address, timeout_s)

    def close(self) -> None:
        """Give the connection back; the next call makes another."""
        self.table.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
