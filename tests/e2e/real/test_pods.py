"""Functions of a pod on a real node."""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.real.probes import IMAGE, Space, probe_spec, until
from tools.localcluster import ClusterError, ClusterHandle
from tools.localcluster.api import ApiError


def _deployment(replicas: int, **spec: Any) -> dict[str, Any]:
    labels = {"app": "probe"}
    template = {"metadata": {"labels": labels}, "spec": probe_spec(**spec)}
    return {
        "metadata": {"name": "probe"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def _service(space: Space) -> None:
    ports = [{"port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": "probe"}, "ports": ports}
    space.create("api/v1/services", {"metadata": {"name": "probe"}, "spec": spec})


def _ask(space: Space, pod: dict[str, Any], verb: str, about: str) -> str:
    return space.kubectl("exec", pod["metadata"]["name"], "--", "/probe", verb, about).strip()


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = pod["status"]["containerStatuses"][0]
    return status


def test_deployment_is_ready_and_finds_the_api_server(space: Space) -> None:
    space.create("apis/apps/v1/deployments", _deployment(2))
    pods = space.ready_pods(2)
    # The image is ours: what runs is what the archive holds, as its user, on the real node.
    assert {pod["spec"]["nodeName"] for pod in pods} <= set(space.cluster.real_nodes)
    assert space.kubectl("logs", pods[0]["metadata"]["name"]) == "probe serves\n"
    assert _ask(space, pods[0], "lookup", "kubernetes.default.svc") == "10.0.0.1"
    assert _ask(space, pods[0], "lookup", "kubernetes.default.svc.cluster.local") == "10.0.0.1"
    assert _ask(space, pods[0], "api", "/version").startswith("200 ")
    # The token names the account: RBAC refuses exactly it.
    refused = _ask(space, pods[1], "api", f"/api/v1/namespaces/{space.name}/secrets")
    assert refused.startswith("403 ")
    assert f"system:serviceaccount:{space.name}:default" in refused


def test_service_reaches_every_pod_and_the_client_itself(space: Space) -> None:
    space.create("apis/apps/v1/deployments", _deployment(2))
    _service(space)
    client, other = space.ready_pods(2)
    addresses = {pod["status"]["podIP"] for pod in (client, other)}

    def served() -> bool:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{space.name}/endpointslices"
        endpoints = [e for s in space.cluster.api.get(path)["items"] for e in s.get("endpoints") or ()]
        return {a for e in endpoints for a in e["addresses"]} == addresses

    until(served, space.events)
    ask = ("exec", client["metadata"]["name"], "--", "/probe", "get", "http://probe/healthz")
    # DNS and kube-proxy learn of the Service a moment later than the API server.
    until(lambda: space.run(*ask).stdout.strip() == "200 ok", lambda: f"{space.run(*ask)}{space.events()}")
    for _ in range(10):  # kube-proxy picks a pod by chance, the client among them
        assert space.kubectl(*ask).strip() == "200 ok"
    assert _ask(space, other, "get", f"http://{client['status']['podIP']}:8080/healthz") == "200 ok"


def test_pods_are_reached_from_this_machine(space: Space) -> None:
    space.create("api/v1/pods", {"metadata": {"name": "one"}, "spec": probe_spec()})
    (pod,) = space.ready_pods(1)
    url = f"http://{pod['status']['podIP']}:8080/lookup?name=kubernetes.default"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"10.0.0.1\n"


def test_pod_security_refuses_root(space: Space) -> None:
    spec = probe_spec()
    spec["containers"][0]["securityContext"] = {"runAsUser": 0}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        space.create("api/v1/pods", {"metadata": {"name": "root"}, "spec": spec})


@pytest.fixture(scope="module")
def own_node(real_cluster: ClusterHandle) -> Iterator[str]:
    """A second real node, whose programs tests end and start again; it is whole after each."""
    name = f"own-{secrets.token_hex(3)}"
    real_cluster.start_real_node(name)
    try:
        real_cluster.wait_node_ready(name)
        yield name
    finally:
        real_cluster.kill_real_node(name)
        real_cluster.api.request("DELETE", f"/api/v1/nodes/{name}")


def test_new_nodes_get_the_images_that_were_loaded(own_node: str, space: Space) -> None:
    ctr = ["ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", "images", "list", "-q"]
    assert IMAGE in space.cluster.run_on_node(own_node, ctr).stdout.split()


@pytest.mark.parametrize("program", ["kubelet", "containerd"])
def test_containers_outlive_node_programs(own_node: str, space: Space, program: str) -> None:
    spec = probe_spec(nodeSelector={"kubernetes.io/hostname": own_node})
    space.create("api/v1/pods", {"metadata": {"name": "before"}, "spec": spec})
    (before,) = space.ready_pods(1)
    space.cluster.restart_on_node(own_node, program)
    space.create("api/v1/pods", {"metadata": {"name": "after"}, "spec": spec})
    same = next(pod for pod in space.ready_pods(2) if pod["metadata"]["name"] == "before")
    assert _container(same)["containerID"] == _container(before)["containerID"]
    assert space.kubectl("logs", "before") == "probe serves\n"


def test_pods_of_two_nodes_talk_and_come_back_after_a_power_failure(own_node: str, space: Space) -> None:
    for name, node in (("here", own_node), ("there", "real-1")):
        spec = probe_spec(nodeSelector={"kubernetes.io/hostname": node})
        space.create("api/v1/pods", {"metadata": {"name": name}, "spec": spec})
    pods = {pod["metadata"]["name"]: pod for pod in space.ready_pods(2)}
    for client, server in (("here", "there"), ("there", "here")):
        address = pods[server]["status"]["podIP"]
        assert _ask(space, pods[client], "get", f"http://{address}:8080/healthz") == "200 ok"

    space.cluster.kill_real_node(own_node)
    assert own_node not in space.cluster.real_nodes
    space.cluster.start_real_node(own_node)

    def restarted() -> bool:
        here = next(pod for pod in space.pods() if pod["metadata"]["name"] == "here")
        return bool(_container(here)["restartCount"] == 1)

    until(restarted, space.events)
    pods = {pod["metadata"]["name"]: pod for pod in space.ready_pods(2)}
    address = pods["here"]["status"]["podIP"]
    assert _ask(space, pods["there"], "get", f"http://{address}:8080/healthz") == "200 ok"


def test_loading_an_image_again_changes_nothing(real_cluster: ClusterHandle, probe_archive: Path) -> None:
    assert real_cluster.load_image(probe_archive) == [IMAGE]
    record = real_cluster.directory / "nodes" / "real-1" / "images.json"
    before = record.stat().st_mtime_ns
    assert real_cluster.load_image(probe_archive) == [IMAGE]
    assert record.stat().st_mtime_ns == before


def test_what_is_no_image_is_refused(real_cluster: ClusterHandle, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(ClusterError, match=f"{path} is not an image archive"):
            real_cluster.load_image(path)
