"""All plugins. A new plugin is one module in ``plugins`` and one line here.

A plugin that reads a field of the pod which no other plugin reads adds it to ``pod_class``, too: to the identity of the
class, and to what a class holds.
"""

from __future__ import annotations

from .plugins.dynamic_resources import DynamicResources
from .plugins.inter_pod_affinity import InterPodAffinity
from .plugins.node_affinity import NodeAffinity
from .plugins.node_declared_features import NodeDeclaredFeatures
from .plugins.node_name import NodeName
from .plugins.node_ports import NodePorts
from .plugins.node_resources_fit import NodeResourcesFit
from .plugins.node_unschedulable import NodeUnschedulable
from .plugins.node_volume_limits import NodeVolumeLimits
from .plugins.plugin import Plugin
from .plugins.pod_topology_spread import PodTopologySpread
from .plugins.taint_toleration import TaintToleration
from .plugins.volume_binding import VolumeBinding
from .plugins.volume_restrictions import VolumeRestrictions
from .plugins.volume_zone import VolumeZone
from .pod_class import PodClass

PLUGINS: tuple[type[Plugin[PodClass]], ...] = (
    DynamicResources,
    NodeName,
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    NodeDeclaredFeatures,
    NodeResourcesFit,
    NodePorts,
    InterPodAffinity,
    PodTopologySpread,
    VolumeBinding,
    VolumeZone,
    VolumeRestrictions,
    NodeVolumeLimits,
)
"""In the order in which a verdict lists their reasons."""
