"""Files and command lines of one real node: containerd, kubelet and kube-proxy on a machine of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.localcluster import host
from tools.localcluster.kubeconfig import write_kubeconfig
from tools.localcluster.network import Network
from tools.localcluster.pki import issue, load_authority, write

PAUSE_IMAGE = "localhost/moorage-pause:1"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CLUSTER_DOMAIN = "cluster.local"
KUBELET_PORT = 10250
# Overlayfs does not work on these.
_NO_OVERLAY = ("overlay", "nfs", "nfs4", "fuse", "ecryptfs", "vfat", "zfs", "9p", "virtiofs")


@dataclass(frozen=True)
class RealNode:
    """A real node, for its files and commands.

    Attributes:
        name: name of the Node, and the machine's host name.
        number: its number on the network, from 1.
        home: folder with its files.
        pki: the cluster's folder of certificates.
        server: URL of the API server.
        network: addresses of the cluster.
        cgroup: control group of its containers.
        tools: paths of kubelet and kube-proxy.
    """

    name: str
    number: int
    home: Path
    pki: Path
    server: str
    network: Network
    cgroup: str
    tools: Mapping[str, Path]

    def write_files(self) -> None:
        """Writes the configurations and identities of all three programs."""
        for folder in ("var-lib", "cni"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        authority = load_authority(self.pki, "ca")
        for file, user, groups in (
            ("kubeconfig", f"system:node:{self.name}", ["system:nodes"]),
            ("kube-proxy.kubeconfig", "system:kube-proxy", []),
        ):
            write_kubeconfig(
                self.home / file,
                server=self.server,
                ca=authority.pair.certificate,
                user=user,
                client=issue(authority, user, groups),
            )
        address = self.network.node(self.number)
        write(
            issue(authority, f"system:node:{self.name}", ["system:nodes"], [self.name, address]), self.home, "serving"
        )
        (self.home / "resolv.conf").write_text("")  # no name server of this machine reaches a pod
        (self.home / "containerd.toml").write_text(self._containerd())
        (self.home / "cni" / "10-moorage.conflist").write_text(json.dumps(self._cni(), indent=1))
        (self.home / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet(), sort_keys=False))
        (self.home / "kube-proxy.yaml").write_text(yaml.safe_dump(self._kube_proxy(), sort_keys=False))

    def containerd(self) -> list[str]:
        """Command of the container runtime."""
        return [host.program("containerd"), "--config", str(self.home / "containerd.toml")]

    def kubelet(self, labels: Mapping[str, str], taints: Sequence[str], max_pods: int) -> list[str]:
        """Command of the kubelet; `taints` are "key=value:effect"."""
        flags = {
            "config": str(self.home / "kubelet.yaml"),
            "kubeconfig": str(self.home / "kubeconfig"),
            "hostname-override": self.name,
            "node-ip": self.network.node(self.number),
            "max-pods": str(max_pods),
        }
        if labels:
            flags["node-labels"] = ",".join(f"{key}={value}" for key, value in labels.items())
        if taints:
            flags["register-with-taints"] = ",".join(taints)
        return [str(self.tools["kubelet"]), *(f"--{flag}={value}" for flag, value in flags.items())]

    def kube_proxy(self) -> list[str]:
        """Command of kube-proxy."""
        return [str(self.tools["kube-proxy"]), f"--config={self.home / 'kube-proxy.yaml'}"]

    def _containerd(self) -> str:
        cri = '[plugins."io.containerd.grpc.v1.cri"'
        return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{self.home / "cni"}"
{cri}.containerd]
  snapshotter = "{snapshotter(self.home)}"
"""

    def _cni(self) -> dict[str, Any]:
        # Not the bridge plugin: packets between two pods of a bridge pass no iptables rule, and so reach no Service
        # address, unless the kernel module br_netfilter is loaded.
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": self.network.pods(self.number)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        return {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {"type": "ptp", "ipMasq": False, "ipam": addresses},
                {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
            ],
        }

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.network.node(self.number),
            "port": KUBELET_PORT,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(self.home / "serving.crt"),
            "tlsPrivateKeyFile": str(self.home / "serving.key"),
            "clusterDNS": [self.network.dns],
            "clusterDomain": CLUSTER_DOMAIN,
            "resolvConf": str(self.home / "resolv.conf"),
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "enforceNodeAllocatable": ["pods"],
            "failCgroupV1": False,
            "failSwapOn": False,
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",  # the default is outside our folders
            "evictionHard": {"memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,  # never: there is no registry from which to pull an image again
            "syncFrequency": "10s",
            "shutdownGracePeriod": "0s",
        }

    def _kube_proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.home / "kube-proxy.kubeconfig")},
            "hostnameOverride": self.name,
            "mode": "iptables",
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            # These are settings of the whole machine, which must not change.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }


def snapshotter(folder: Path) -> str:
    """The snapshotter of containerd for a folder: overlayfs, or native (copies) if overlayfs does not work there."""
    return "native" if file_system(folder) in _NO_OVERLAY else "overlayfs"


def file_system(folder: Path) -> str:
    """Type of a folder's file system, from the longest mount point above it."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind.partition(".")[0]
