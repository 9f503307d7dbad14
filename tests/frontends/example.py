"""The workload of a front end's example: a pod that waits for a machine of the example's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import containers
from tests.e2e.helm.commands import NAMESPACE
from tests.e2e.helm.site import Site, cleanup
from tests.e2e.helm.test_installed import SHOP, join, pinned, web
from tests.e2e.real.probes import probe_image
from tools import image
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle


def real_site(cluster: ClusterHandle, repository: Repository, folder: Path) -> Site:
    """A place where our image and the shop's can run.

    Args:
        cluster: with real nodes.
        repository: served, with our charts.
        folder: empty or missing.
    """
    containers.require("image")
    folder.mkdir(exist_ok=True)
    cluster.load_image(image.ensure())
    cluster.load_image(probe_image(folder))
    return Site(cluster, repository, folder)


@contextmanager
def shop(site: Site, machine: str, labels: dict[str, str]) -> Iterator[None]:
    """The pending pod. At the end the pod, the machine and all of Moorage's objects are removed.

    Args:
        site: where.
        machine: the node's name in the example's plan; no such node exists yet.
        labels: of that node, which no other has.
    """
    cluster, shell = site.cluster, site.shell()
    try:
        shell(f"kubectl create namespace {SHOP}")
        cluster.wait_service_account(SHOP)
        deployment = web(1)
        # A token would be given to the container's user, and only root's kubelets can do that.
        deployment["spec"]["template"]["spec"] |= {"nodeSelector": labels, "automountServiceAccountToken": False}
        shell(f"kubectl apply -f {site.file('web.json', deployment)}")
        yield
    finally:
        cleanup(cluster)
        # While its machine can still end the pod; the next one to use this cluster finds no namespace that is going.
        shell.run(f"kubectl delete namespace {NAMESPACE} {SHOP} --ignore-not-found")
        if machine in cluster.real_nodes:
            cluster.stop_real_node(machine)
        if machine in cluster.hollow_kubelets:
            cluster.stop_hollow_kubelet(machine)
        shell.run(f"kubectl delete node {machine} --ignore-not-found")
        shell.run("kubectl delete crd nodereservations.moorage.dev slotreservations.moorage.dev --ignore-not-found")


def pins_a_pod(site: Site, machine: str, switch_on: Callable[[str], object]) -> None:
    """See the shop's pod pinned to the machine before that exists, and run there once it does."""
    assert list(pinned(site, 1).values()) == [machine], "before it exists"
    join(site, machine, switch_on)


def pins_a_real_pod(site: Site, machine: str) -> None:
    """The same on a machine whose containers run, with a pod pinner in containers."""
    site.until_ready(2)
    pins_a_pod(site, machine, site.cluster.start_real_node)
    said = site.shell()(f"kubectl logs -n {SHOP} deployment/web").out
    assert said == "probe serves\n", "a container of a real kubelet"
