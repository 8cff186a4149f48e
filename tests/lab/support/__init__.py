"""Networks for tests: hosts in network namespaces, and what is between them.

Rules:

* No device is in the namespace of the machine, and no host has a way to it: nothing that is
  sent here can leave.
* Namespaces have no names. Descriptors hold them, so they end with the process, however it ends,
  and no two processes can meet.
* Whoever enters a namespace is a thread; a socket belongs to the one in which it was created,
  and may be used from anywhere.
* Nothing has to be discovered: neighbours are entered by hand, IPv6 has no duplicate address
  detection and no router advertisements. A host's first packet goes out at once.
* ICMP is not rate-limited, and queues of listeners are long, unless a test says otherwise.

For example::

    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.wan(client, server, delay=0.05)  # 0.1 s there and back
        with server.listen() as listener:
            client.run(lambda: aconnect(listener.getsockname()))
        link.set(forward=Path(loss=1.0))

Needs root, Linux, iproute2, nftables and ethtool.
"""

from .emulator import Path
from .hosts import Host
from .lab import Lab
from .links import Count, End, Packet, Wan, Wire
from .loops import LOOPS
from .responder import Responder

__all__ = ["LOOPS", "Count", "End", "Host", "Lab", "Packet", "Path", "Responder", "Wan", "Wire"]
