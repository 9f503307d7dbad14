"""All plugins. A new plugin is one module and one line here.

A plugin that reads a field of the pod which no other plugin reads adds it to ``pod_class``, too: to the identity of the
class, and to what a class holds.
"""

from __future__ import annotations

from moorage.scheduling.pod_class import PodClass

from .dynamic_resources import DynamicResources
from .inter_pod_affinity import InterPodAffinity
from .node_affinity import NodeAffinity
from .node_declared_features import NodeDeclaredFeatures
from .node_name import NodeName
from .node_ports import NodePorts
from .node_resources_fit import NodeResourcesFit
from .node_unschedulable import NodeUnschedulable
from .node_volume_limits import NodeVolumeLimits
from .plugin import Plugin
from .pod_topology_spread import PodTopologySpread
from .taint_toleration import TaintToleration
from .volume_binding import VolumeBinding
from .volume_restrictions import VolumeRestrictions
from .volume_zone import VolumeZone

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
