"""Unforeseeable facts about replacements, and changes in the middle of a cycle: it stops with a reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from moorage.drain import Settings
from moorage.evictor import configuration
from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Node
from tests.kube.support import eventually, pod, renew_lease
from tests.kube.test_evictor_acts import BINDINGS, MARK, NAMESPACE, POLICIES, Watcher, acting, status_where
from tests.kube.test_evictor_acts import kubeconfig as kubeconfig
from tests.kube.test_evictor_beside import ROOM, SLOW, Deed, Site, phase, workload
from tests.kube.test_evictor_service import condition
from tools.localcluster import LocalCluster

Json = dict[str, Any]
KWOK = "kwok.x-k8s.io/node"
SOON = timedelta(seconds=3)
EVICTOR = {"app.kubernetes.io/name": "castai-evictor"}


@pytest.fixture
async def site(own_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Replacements are not waited for as long as usual."""
    impatient = partial(Settings, unscheduled_patience=SOON, starting_patience=SOON, missing_patience=SOON)
    monkeypatch.setattr(configuration, "Drains", impatient)
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        yield Site(own_cluster, Client(transport))


def no_more_pods(site: Site) -> None:
    """A quota below the current use."""
    quota = {"metadata": {"name": "less"}, "spec": {"hard": {"pods": "1"}}}
    site.api.request("POST", "/api/v1/namespaces/quota/resourcequotas", quota)


def no_more_bindings(site: Site) -> None:
    """The scheduler finds a place, and may not use it."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "!request.name.startsWith('unplaced-')", "message": "no place for it"}],
    }
    site.api.request("POST", POLICIES, {"metadata": {"name": "unplaced"}, "spec": spec})
    bound = {"policyName": "unplaced", "validationActions": ["Deny"]}
    site.api.request("POST", BINDINGS, {"metadata": {"name": "unplaced"}, "spec": bound})


async def no_more_starts(site: Site) -> None:
    """Nobody pulls the image: whoever plays the other node plays it no more, and it is ready all the same."""
    site.patch_node(f"{ROOM}-0", {"metadata": {"annotations": {KWOK: None}}})
    await renew_lease(site.client, await site.client.get(resources.NODES, f"{ROOM}-0"), ahead_seconds=200.0)


def starts_again(site: Site) -> None:
    """Another node comes in its place: kwok takes up none that it has let go."""
    site.api.request("DELETE", f"/api/v1/nodes/{ROOM}-0")


def another_evictor(site: Site) -> None:
    template = {"metadata": {"labels": EVICTOR}, "spec": pod("rival", schedulerName="nobody")["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": EVICTOR}, "template": template}
    manifest = {"metadata": {"name": "elsewhere", "labels": EVICTOR}, "spec": spec}
    site.api.request("POST", resources.DEPLOYMENTS.path(NAMESPACE), manifest)


async def stopped(site: Site, kubeconfig: Path, name: str, caplog: pytest.LogCaptureFixture) -> tuple[Node, str]:
    """The node of a stopped cycle, and its log lines."""

    async def said() -> str | None:
        return next((str(vars(each)["why"]) for each in caplog.records if each.message == "cycle stopped"), None)

    caplog.clear()
    watcher = Watcher(site.client.transport, {name: 1})
    async with watcher.watching(), acting(kubeconfig):
        nodes = await site.until(lambda _, nodes: phase(nodes[f"{name}-0"]) == "rolled-back", f"{name} is given back")
        why = await eventually(said, "a log line")
    assert watcher.broken == []
    node = nodes[f"{name}-0"]
    assert not node.spec.unschedulable
    # Kubernetes follows a cordon with a taint of its own, which goes some moments after the cordon.
    await site.until(
        lambda _, nodes: [each.key for each in nodes[f"{name}-0"].spec.taints] == ["kind"], "its own taint"
    )
    kind, _, namespace = workload(name, namespace=name if name == "quota" else NAMESPACE)
    site.api.request("DELETE", kind.path(namespace, name))
    site.api.request("DELETE", f"/api/v1/nodes/{name}-0")
    return node, why


async def test_replacements_that_do_not_come_stop_the_cycle_with_the_reason(
    site: Site, kubeconfig: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick: Json = {"min_ready": 1}
    kinds: tuple[tuple[str, Json, Deed, Callable[[Site], None] | None, str], ...] = (
        ("quota", {"namespace": "quota"}, no_more_pods, None, "no replacement of an evicted pod was created"),
        (
            "unplaced",
            {},
            no_more_bindings,
            None,
            "the replacement of an evicted pod is unschedulable (default/unplaced-",
        ),
        ("unstarted", {}, no_more_starts, starts_again, "the replacement of an evicted pod does not become available"),
    )
    for name, special, before, after, why in kinds:
        await site.populate(**{name: {**quick, **special}})
        if (done := before(site)) is not None:
            await done
        node, said = await stopped(site, kubeconfig, name, caplog)
        assert why in node.metadata.annotations[MARK]
        assert why in said
        assert len([each for each in await site.pods(name) if each.metadata.deletion_timestamp is None]) <= 2
        if after is not None:
            after(site)


async def test_another_evictor_stops_ours_in_the_middle_and_it_goes_on_without(
    site: Site, own_cluster: LocalCluster, kubeconfig: Path
) -> None:
    await site.populate(rival={"min_ready": SLOW})
    watcher = Watcher(site.client.transport, {"rival": 1})
    async with watcher.watching(), acting(kubeconfig):
        await site.until(lambda _, nodes: phase(nodes["rival-0"]) in ("chosen", "draining"), "a node that was chosen")
        another_evictor(site)
        status = await status_where(own_cluster, _stands_down, "it stands down")
        nodes = await site.until(lambda *_: True, "now")
        assert phase(nodes["rival-0"]) == "rolled-back"
        assert not nodes["rival-0"].spec.unschedulable
        assert condition(status, "Acting")[2].startswith(
            "Nothing is emptied: Deployment default/elsewhere is another evictor"
        )
        site.api.request("DELETE", resources.DEPLOYMENTS.path(NAMESPACE, "elsewhere"))
        await site.until(lambda _, nodes: phase(nodes["rival-0"]) == "emptied", "the node goes")
    assert watcher.broken == []


def _stands_down(status: Json) -> bool:
    return condition(status, "Acting")[:2] == ("False", "AnotherEvictor")
