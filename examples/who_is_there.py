"""Who is in the network? Run `shoal up --peers 3 --detach` first."""

import shoal

net = shoal.connect()
print(f"asking {net.status()['name']}")
for member in net.members():
    print(f"{member['name']:24} {member['state']:8} {member['reason']}")
