"""Programs as people run them: the real engine and language host, helm, and a cluster where kwok plays pods.

The Kubernetes provider is the test double of tests/pulumi/double.py, unless MOORAGE_PULUMI_KUBERNETES=real.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from tests.pulumi.projects import Project
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError
from tools.toolchain import ensure

RELEASE = "kubernetes:helm.sh/v3:Release"
NAMESPACE = "castai-agent"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/castai-pod-pinner"

Make = Callable[[str], Project]


class Code(str):
    """An argument that is an expression of the program."""

    __slots__ = ()
    __repr__ = str.__str__


def pinner(repository: Repository | str, **settings: Any) -> str:
    """A program with a pod pinner."""
    url = repository if isinstance(repository, str) else repository.url
    given = {"repository": url, "create_namespace": True, "timeout": 60, **settings}
    arguments = "".join(f"    {name}={value!r},\n" for name, value in given.items())
    return f"pinner = moorage.PodPinner(\n    'pinner',\n{arguments})\n"


def installed(place: ClusterHandle) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = place.api.get(DEPLOYMENT)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return found


def listed(place: ClusterHandle) -> list[tuple[str, str, int]]:
    """Name, state and revision of the releases that helm knows."""
    command = [str(ensure(["helm"])["helm"]), "list", "--all", "--all-namespaces", "--output=json"]
    done = subprocess.run(command, env={"KUBECONFIG": str(place.kubeconfig)}, capture_output=True, check=True)
    return [(each["name"], each["status"], int(each["revision"])) for each in json.loads(done.stdout)]


def test_up_unchanged_one_change_and_destroy(project: Make, place: ClusterHandle, repository: Repository) -> None:
    it = project(pinner(repository, replicas=1) + "pulumi.export('status', pinner.status)\n")
    assert it.up().counts == {"created": 3}  # with the stack
    assert listed(place) == [("castai-pod-pinner", "deployed", 1)]
    before = installed(place)
    assert before is not None
    assert it("stack", "output", "status").text.strip() == "deployed"

    assert it.up().counts == {"unchanged": 3}
    assert listed(place) == [("castai-pod-pinner", "deployed", 1)]

    it.write(pinner(repository, replicas=2))
    assert it.up().counts == {"updated": 1, "unchanged": 2}
    after = installed(place)
    assert after is not None
    assert after["spec"]["replicas"] == 2
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "in place"

    it("destroy", "--yes")
    assert listed(place) == []
    assert installed(place) is None


def test_a_wrong_value_is_a_sentence_and_nothing_is_created(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, replicas="two", log={"levle": "info"}))
    said = it.fails("up", "--yes")
    assert "error: PodPinner pinner is not installed, because its arguments are not right:" in said
    assert "replicas: 'two' is not a whole number" in said
    assert "log.levle: unknown field 'levle'; did you mean level?" in said
    assert listed(place) == []
    assert it.state.get("resources", []) == []


def test_a_wrong_value_that_is_an_output_is_a_sentence_too(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, replicas=Code("pulumi.Output.from_input(-1)")))
    said = it.fails("up", "--yes", "--skip-preview")
    assert "replicas: -1 is too small, at least 0" in said
    assert listed(place) == []


def test_no_replicas_are_said(project: Make, place: ClusterHandle, repository: Repository) -> None:
    it = project(pinner(repository, replicas=0))
    assert "warning: replicas: 0 means that NOTHING RUNS" in it.up().text
    found = installed(place)
    assert found is not None
    assert found["spec"]["replicas"] == 0


def test_a_key_is_encrypted_in_the_state_and_the_rest_is_readable(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, replicas=0, api_key="tell-nobody", log={"level": "debug"}))
    said = it.up().text
    state = json.dumps(it.state)
    assert "tell-nobody" not in state
    assert "tell-nobody" not in said
    values = it.resources()[RELEASE]["inputs"]["values"]
    assert values["log"] == {"level": "debug"}
    assert "ciphertext" in values["castai"]["apiKey"]
    stored = place.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/castai-pod-pinner")
    assert "API_KEY" in stored["data"]
    assert "tell-nobody" not in it.run("preview", "--diff").text
