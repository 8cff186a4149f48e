"""What this machine says of names now, and which network it is in.

Rules:

* The files are looked at every `LOOK_AGAIN` at the most, and what the user has given takes the
  place of what they say.
* What is learned of name servers is kept for as long as they are the same.
* A network that cannot be told is `NOWHERE`: nothing is remembered there.

Sources: resolv.conf(5), nsswitch.conf(5), hosts(5).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from ...sansio.asking import Servers
from .machine import LOOK_AGAIN, Machine, Watched
from .settings import read_hosts, read_nsswitch, read_resolv_conf

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ...drivers.base import Driver

__all__ = ["NOWHERE", "Surroundings"]

RESOLV_CONF: Final = "/etc/resolv.conf"
NSSWITCH_CONF: Final = "/etc/nsswitch.conf"
HOSTS: Final = "/etc/hosts"

NOWHERE: Final = object()
"""A network of which nothing is remembered."""


class Surroundings:
    """Where a resolver looks names up.

    Args:
        own: settings that the user has given, by their names.
        hosts: whether the hosts file counts.
        network: says which network this is; None for the servers and the source addresses.
    """

    def __init__(
        self, own: dict[str, Any], hosts: bool, network: Callable[[], Hashable] | None
    ) -> None:
        self._own = own
        self._with_hosts = hosts
        self._network_of = network
        self._resolv_conf = Watched(RESOLV_CONF, str)
        self._nsswitch = Watched(NSSWITCH_CONF, read_nsswitch)
        self._hosts = Watched(HOSTS, read_hosts)
        self.machine: Machine | None = None

    @property
    def recent(self) -> Machine | None:
        """What the machine says, if it need not be looked at again."""
        machine = self.machine
        if machine is None or time.monotonic() - machine.looked >= LOOK_AGAIN:
            return None
        return machine

    async def look(self, driver: Driver) -> Machine:
        """What the machine says, looked at again if it is time."""
        machine = self.recent
        return machine if machine is not None else await self._look_again(driver)

    async def _look_again(self, driver: Driver) -> Machine:
        now, machine = time.monotonic(), self.machine
        reload = machine is None or not machine.settings.no_reload
        text = await self._resolv_conf.value(driver, reload)
        settings = read_resolv_conf(text, os.environ).replace(**self._own)
        order = await self._nsswitch.value(driver)
        hosts: dict[str, tuple[str, ...]] = {}
        if self._with_hosts and "files" in order:
            hosts = await self._hosts.value(driver)
        if machine is not None and machine.settings.servers == settings.servers:
            servers = machine.servers
        else:
            servers = Servers(len(settings.servers))
        self.machine = Machine(settings, servers, hosts, order, now)
        return self.machine

    def network(self, machine: Machine) -> Hashable:
        """What identifies the network; `NOWHERE` if nothing does."""
        if self._network_of is None:
            return (machine.settings.servers, *machine.sources)
        try:
            network = self._network_of()
            hash(network)
        except Exception:
            return NOWHERE
        return network
