"""Releases of the closed chart, and the objects after the upgrade to Moorage's charts."""

from __future__ import annotations

import base64

from tests.e2e.helm import commands
from tests.e2e.helm.commands import RELEASE
from tests.e2e.helm.site import AGENT, Site

VERSION = "--version 1.12.2"
VALUES = "--set castai.apiKey=closed-key --set castai.clusterID=c-1"
CLOSED = f"{commands.PUBLISHED_INSTALL} {VERSION} {VALUES}"
IMAGE = "ghcr.io/moorage/moorage:2.0.0"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def command_after(said: str, sentence: str) -> str:
    """The first command that Helm's words name after a sentence."""
    commands_ = [line.strip() for line in said.partition(sentence)[2].splitlines() if line.strip().startswith("helm ")]
    return commands_[0]


def secret_key(site: Site) -> bytes:
    """The key in the release's own Secret."""
    secret = site.get(f"{AGENT}/secrets/{RELEASE}")
    assert secret is not None
    return base64.b64decode(secret["data"]["API_KEY"])


def take_over(site: Site, installed_by: str, upgrade: str) -> str:
    """Upgrade a release of the closed chart. Returns Helm's output."""
    site.shell(installed_by)(CLOSED)
    site.until_ready()
    before = site.deployment()
    said = site.shell()(upgrade).out
    site.until_ready()
    after = site.deployment()

    assert after["metadata"]["uid"] == before["metadata"]["uid"], "the same Deployment, not another one"
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert {pod["spec"]["containers"][0]["image"] for pod in site.pods()} == {IMAGE}
    environment = {each["name"]: each.get("value", "") for each in site.container()["env"]}
    assert not [value for value in environment.values() if "cast.ai" in value], "nothing goes there"
    assert "CERTS_SECRET_NAME" not in environment
    assert "certs" not in {volume["name"] for volume in after["spec"]["template"]["spec"]["volumes"]}
    taints = {each.get("key") for each in after["spec"]["template"]["spec"].get("tolerations", ())}
    assert "scheduling.cast.ai/pod-pinning-preparing" not in taints
    for gone in (f"{WEBHOOKS}/{RELEASE}", f"{AGENT}/services/{RELEASE}-leader", f"{AGENT}/secrets/{RELEASE}-certs"):
        assert site.get(gone) is None, f"{gone} is the closed chart's"
    for gone in ("clusterroles", "clusterrolebindings"):
        assert site.get(f"{RBAC}/{gone}/{RELEASE}-ext") is None
    listed = site.shell()(commands.LIST).row(RELEASE)
    assert f"{RELEASE}-2.0.0" in listed
    return said
