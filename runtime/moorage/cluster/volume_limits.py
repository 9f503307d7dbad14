"""How many volumes a promised node attaches: in the words of allocatable until a driver says so in the CSINode. Pure.

kube-scheduler reads such limits of the CSINode only (``plugins/nodevolumelimits/csi.go``), which a machine writes after
it has joined. ``attachable-volumes-csi-{driver}`` is the name that kubelets once gave them in allocatable.
"""

from __future__ import annotations

from moorage.objects import Node
from moorage.objects.base import ObjectMeta
from moorage.objects.node import CSI_VOLUMES
from moorage.objects.quantity import QuantityError, parse
from moorage.objects.storage import Allocatable, CsiNode, CsiNodeDriver, CsiNodeSpec


def limits(node: Node) -> tuple[CsiNodeDriver, ...]:
    """Return the drivers of which a node's allocatable says how many volumes it attaches.

    Args:
        node: as it is promised.

    Returns:
        Drivers without ``node_id``, which each has that a machine has registered.
    """
    drivers = []
    for name, text in node.status.allocatable.items():
        if not name.startswith(CSI_VOLUMES):
            continue
        try:
            count = int(parse(text))
        except QuantityError:
            continue
        drivers.append(CsiNodeDriver(name=name.removeprefix(CSI_VOLUMES), allocatable=Allocatable(count=count)))
    return tuple(drivers)


def with_limits(name: str, registered: CsiNode | None, promised: tuple[CsiNodeDriver, ...]) -> CsiNode | None:
    """Return the CSINode of a node together with the promised drivers that have not been registered.

    Args:
        name: the node's name.
        registered: its CSINode; None while there is none.
        promised: as of ``limits``.
    """
    if not promised:
        return registered
    known = registered if registered is not None else CsiNode(metadata=ObjectMeta(name=name))
    names = {driver.name for driver in known.drivers}
    missing = tuple(driver for driver in promised if driver.name not in names)
    return CsiNode(metadata=known.metadata, spec=CsiNodeSpec(drivers=(*known.drivers, *missing)))
