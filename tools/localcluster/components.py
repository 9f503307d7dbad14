"""Command lines of the control plane."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.localcluster.kubeconfig import write_kubeconfig
from tools.localcluster.options import ClusterOptions
from tools.localcluster.pki import create_authority, issue, signing_pair, write, write_private
from tools.localcluster.ports import free_ports

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
SWITCH = "switch"  # holds the network of real nodes
COREDNS = "coredns"

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


@dataclass(frozen=True)
class Ports:
    """TCP ports of one control plane."""

    api_server: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int

    @classmethod
    def choose(cls) -> Ports:
        """Chooses ports that are free now."""
        return cls(*free_ports(5))


@dataclass(frozen=True)
class ControlPlane:
    """Files and ports of a control plane, and the commands of its components."""

    directory: Path
    options: ClusterOptions
    ports: Ports
    tools: Mapping[str, Path]

    @property
    def server(self) -> str:
        """URL of the API server for clients on this machine."""
        return f"https://{self.options.client_address}:{self.ports.api_server}"

    @property
    def components(self) -> dict[str, int]:
        """Main port of each component, in the order of starting."""
        ports = {
            ETCD: self.ports.etcd,
            API_SERVER: self.ports.api_server,
            CONTROLLER_MANAGER: self.ports.controller_manager,
        }
        return ports | ({SCHEDULER: self.ports.scheduler} if self.options.scheduler else {})

    def write_files(self) -> str:
        """Writes certificates, token file, audit policy and kubeconfigs, and returns the admin's token."""
        pki = self.directory / "pki"
        authority = create_authority("moorage-local-cluster")
        write(authority.pair, pki, "ca")
        write(issue(authority, "kube-apiserver", names=self.options.server_sans), pki, "apiserver")
        write(issue(authority, "kube-apiserver-kubelet-client", ["system:masters"]), pki, "kubelet-client")
        write(signing_pair(), pki, "service-account")
        # etcd trusts another CA: otherwise any client certificate of the cluster could open its store.
        store = create_authority("moorage-local-etcd")
        write(store.pair, pki, "etcd-ca")
        write(issue(store, "etcd", names=["127.0.0.1"]), pki, "etcd")
        front_proxy = create_authority("moorage-local-front-proxy")
        write(front_proxy.pair, pki, "front-proxy-ca")
        write(issue(front_proxy, "front-proxy-client"), pki, "front-proxy")
        token = secrets.token_hex(16)
        write_private(pki / "tokens.csv", f'{token},admin,admin,"system:masters"\n'.encode())
        write_private(self.directory / "audit-policy.yaml", _AUDIT_POLICY.encode())
        for file, user, groups in (
            ("kubeconfig", "admin", ["system:masters"]),
            ("controller-manager.kubeconfig", "system:kube-controller-manager", []),
            ("scheduler.kubeconfig", "system:kube-scheduler", []),
        ):
            write_kubeconfig(
                self.directory / file,
                server=self.server,
                ca=authority.pair.certificate,
                user=user,
                client=issue(authority, user, groups),
            )
        return token

    def command(self, component: str) -> list[str]:
        """Program and arguments of a component."""
        program, flags = {
            ETCD: (ETCD, self._etcd()),
            API_SERVER: (API_SERVER, self._api_server() | dict(self.options.apiserver_flags)),
            CONTROLLER_MANAGER: (
                CONTROLLER_MANAGER,
                self._controller_manager() | dict(self.options.controller_manager_flags),
            ),
            SCHEDULER: (SCHEDULER, self._scheduler() | dict(self.options.scheduler_flags)),
        }[component]
        return [str(self.tools[program]), *(f"--{flag}={value}" for flag, value in flags.items())]

    def _pki(self, name: str) -> str:
        return str(self.directory / "pki" / name)

    def _etcd(self) -> dict[str, str]:
        client = f"https://127.0.0.1:{self.ports.etcd}"
        peer = f"https://127.0.0.1:{self.ports.etcd_peer}"
        flags = {
            "name": "default",
            "data-dir": str(self.directory / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",  # the data is deleted with the cluster
        }
        for prefix in ("", "peer-"):
            flags |= {
                f"{prefix}cert-file": self._pki("etcd.crt"),
                f"{prefix}key-file": self._pki("etcd.key"),
                f"{prefix}trusted-ca-file": self._pki("etcd-ca.crt"),
                f"{prefix}client-cert-auth": "true",
            }
        return flags

    def _api_server(self) -> dict[str, str]:
        options = self.options
        flags = {
            "etcd-servers": f"https://127.0.0.1:{self.ports.etcd}",
            "etcd-cafile": self._pki("etcd-ca.crt"),
            "etcd-certfile": self._pki("etcd.crt"),
            "etcd-keyfile": self._pki("etcd.key"),
            "bind-address": options.bind_address,
            "secure-port": str(self.ports.api_server),
            "advertise-address": options.advertise_address or options.client_address,
            "tls-cert-file": self._pki("apiserver.crt"),
            "tls-private-key-file": self._pki("apiserver.key"),
            "client-ca-file": self._pki("ca.crt"),
            "requestheader-client-ca-file": self._pki("front-proxy-ca.crt"),
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": self._pki("front-proxy.crt"),
            "proxy-client-key-file": self._pki("front-proxy.key"),
            "token-auth-file": self._pki("tokens.csv"),
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._pki("service-account.crt"),
            "service-account-signing-key-file": self._pki("service-account.key"),
            "service-cluster-ip-range": options.service_cidr,
            "allow-privileged": "true",
            # The API server then calls webhooks at pod addresses, without kube-proxy on its side.
            "enable-aggregator-routing": "true",
            "audit-policy-file": str(self.directory / "audit-policy.yaml"),
            "audit-log-path": str(self.directory / "logs" / "audit.log"),
            "audit-log-maxsize": "200",
            "audit-log-maxbackup": "3",
            "profiling": "false",
        }
        if options.real:
            # Hollow kubelets accept all clients. This is for real kubelets: logs, exec and port-forward.
            flags |= {
                "kubelet-client-certificate": self._pki("kubelet-client.crt"),
                "kubelet-client-key": self._pki("kubelet-client.key"),
                "kubelet-preferred-address-types": "InternalIP",
            }
        if options.advertise_address is None:
            # An Endpoints object cannot contain a loopback address, and each attempt would log an error.
            flags["endpoint-reconciler-type"] = "none"
        if not options.flow_control:
            flags |= {
                "enable-priority-and-fairness": "false",
                "max-requests-inflight": "0",
                "max-mutating-requests-inflight": "0",
            }
        return flags

    def _controller_manager(self) -> dict[str, str]:
        kubeconfig = str(self.directory / "controller-manager.kubeconfig")
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": str(self.ports.controller_manager),
            "tls-cert-file": self._pki("apiserver.crt"),
            "tls-private-key-file": self._pki("apiserver.key"),
            "root-ca-file": self._pki("ca.crt"),
            "cluster-signing-cert-file": self._pki("ca.crt"),
            "cluster-signing-key-file": self._pki("ca.key"),
            "service-account-private-key-file": self._pki("service-account.key"),
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "kube-api-qps": "500",
            "kube-api-burst": "1000",
            "profiling": "false",
        }

    def _scheduler(self) -> dict[str, str]:
        kubeconfig = str(self.directory / "scheduler.kubeconfig")
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": str(self.ports.scheduler),
            "tls-cert-file": self._pki("apiserver.crt"),
            "tls-private-key-file": self._pki("apiserver.key"),
            "leader-elect": "false",
            "kube-api-qps": "5000",
            "kube-api-burst": "5000",
            "profiling": "false",
        }
