"""What a program outside the network holds.

Nothing here needs a loop, a server or a peer's own code, so that a program, a notebook
or a command pays for what it uses and no more.
"""

from shoal.client.network import Client
from shoal.client.table import Table

__all__ = ["Client", "Table"]
