"""A real Kubernetes control plane on one machine, without root.

with LocalCluster() as cluster:
    cluster.start_hollow_kubelet("node-1")
    cluster.wait_node_ready("node-1")
"""

from tools.localcluster.cluster import ClusterHandle, attach
from tools.localcluster.errors import ClusterError
from tools.localcluster.options import ClusterOptions
from tools.localcluster.owner import LocalCluster

__all__ = ["ClusterError", "ClusterHandle", "ClusterOptions", "LocalCluster", "attach"]
