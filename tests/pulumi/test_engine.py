"""Programs as users run them: the real engine and language host, helm, and a cluster with kwok's pods.

The Kubernetes provider is the test double of tests/pulumi/double.py, unless MOORAGE_PULUMI_KUBERNETES=real.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any

from tests.frontends.relay import Relay
from tests.pulumi.projects import Project, until
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

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
    given = {"repository": url, "timeout": 60, **settings}
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


def test_up_unchanged_one_change_and_destroy(project: Make, place: ClusterHandle, repository: Repository) -> None:
    it = project(pinner(repository, replicas=1) + "pulumi.export('status', pinner.status)\n")
    assert it.up().counts == {"created": 3}  # with the stack
    assert it.releases() == [("castai-pod-pinner", "deployed", 1)]
    before = installed(place)
    assert before is not None
    assert it("stack", "output", "status").text.strip() == "deployed"

    assert it.up().counts == {"unchanged": 3}
    assert it.releases() == [("castai-pod-pinner", "deployed", 1)]

    it.write(pinner(repository, replicas=2))
    assert it.up().counts == {"updated": 1, "unchanged": 2}
    after = installed(place)
    assert after is not None
    assert after["spec"]["replicas"] == 2
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "in place"

    it.write(pinner(repository))
    assert it.up().counts == {"updated": 1, "unchanged": 2}
    values = it.helm("get", "values", "castai-pod-pinner", f"--namespace={NAMESPACE}", "--output=json")
    assert not json.loads(values), "the last value can be taken out"

    it("destroy", "--yes")
    assert it.releases() == []
    assert installed(place) is None


def test_a_wrong_value_is_a_sentence_and_nothing_is_created(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, replicas="two", log={"levle": "info"}))
    said = it.fails("up", "--yes")  # in the preview already
    assert "error: PodPinner pinner is not installed, because its arguments have mistakes:" in said
    assert "replicas: 'two' is not a whole number" in said
    assert "log.levle: unknown field 'levle'; did you mean level?" in said
    assert "Traceback" not in said
    assert it.releases() == []
    assert it.state.get("resources", []) == []

    it.write(pinner(repository, replicas=Code("pulumi.Output.from_input(-1)")))
    said = it.fails("up", "--yes", "--skip-preview")
    assert "replicas: -1 is too small, at least 0" in said
    assert "Traceback" not in said
    assert it.releases() == []


def test_a_key_is_encrypted_in_the_state_and_no_replicas_are_said(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, replicas=0, api_key="tell-nobody", log={"level": "debug"}))
    said = it.up().text
    assert "warning: replicas: 0 means that NOTHING RUNS" in said
    found = installed(place)
    assert found is not None
    assert found["spec"]["replicas"] == 0
    state = json.dumps(it.state)
    assert "tell-nobody" not in state
    assert "tell-nobody" not in said
    values = it.resources()[RELEASE]["inputs"]["values"]
    assert values["log"] == {"level": "debug"}
    assert "ciphertext" in values["castai"]["apiKey"]
    stored = place.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/castai-pod-pinner")
    assert "API_KEY" in stored["data"]
    assert "tell-nobody" not in it.run("preview", "--diff").text


# --- what cannot be had ---


def test_a_chart_version_that_does_not_exist_and_a_repository_that_does_not_answer(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, chart_version="9.9.9"))
    said = it.fails("up", "--yes", "--skip-preview")
    assert "9.9.9" in said
    assert repository.url in said
    assert it.releases() == []

    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    it.write(pinner(f"http://{address}"))
    said = it.fails("up", "--yes", "--skip-preview")
    assert address in said
    assert "connection refused" in said
    assert it.releases() == []


# --- what goes wrong in the middle ---

NEVER_READY: dict[str, Any] = {"node_selector": {"no": "such-node"}, "timeout": 600}


def begun(it: Project, place: ClusterHandle) -> subprocess.Popen[str]:
    """An `up` that has installed the release and waits for its pods. A signal to it also reaches the provider."""
    it.with_a_provider_of_its_own()
    started = it.start("up", "--yes", "--skip-preview")
    until(lambda: installed(place) or started.poll() is not None, "the Deployment")
    assert started.poll() is None, it.end(started, "up")
    return started


def test_two_at_once_and_interrupted_and_mended_by_a_second_run(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, **NEVER_READY))
    started = begun(it, place)
    said = it.fails("up", "--yes", "--skip-preview")
    assert "the stack is currently locked by 1 lock(s)" in said
    assert "pulumi cancel" in said
    os.killpg(started.pid, signal.SIGINT)
    done = it.end(started, "up")
    assert done.code != 0, done

    it.write(pinner(repository, replicas=1))
    it.up()
    assert [each[:2] for each in it.releases()] == [("castai-pod-pinner", "deployed")]
    assert it.up().counts == {"unchanged": 3}


def test_killed_and_mended_by_what_readme_names(project: Make, place: ClusterHandle, repository: Repository) -> None:
    it = project(pinner(repository, **NEVER_READY))
    started = begun(it, place)
    os.killpg(started.pid, signal.SIGKILL)
    it.end(started, "up")
    assert "pulumi cancel" in it.fails("up", "--yes", "--skip-preview")
    it("cancel", "--yes")

    it.write(pinner(repository, replicas=1))
    said = it.fails("up", "--yes", "--skip-preview")
    assert "1 pending operations" in said
    assert "cannot reuse a name that is still in use" in said
    it.uninstall()
    it.up()
    assert [each[:2] for each in it.releases()] == [("castai-pod-pinner", "deployed")]


def test_killed_in_an_upgrade_and_mended_by_what_readme_names(
    project: Make, place: ClusterHandle, repository: Repository
) -> None:
    it = project(pinner(repository, replicas=1))
    it.up()
    it.write(pinner(repository, **NEVER_READY))
    it.with_a_provider_of_its_own()
    started = it.start("up", "--yes", "--skip-preview")
    until(lambda: it.releases()[0][1] == "pending-upgrade" or started.poll() is not None, "helm to upgrade")
    assert started.poll() is None, it.end(started, "up")
    os.killpg(started.pid, signal.SIGKILL)
    it.end(started, "up")
    it("cancel", "--yes")

    it.write(pinner(repository, replicas=2))
    assert "another operation (install/upgrade/rollback) is in progress" in it.fails("up", "--yes", "--skip-preview")
    it.helm("rollback", "castai-pod-pinner", f"--namespace={NAMESPACE}")
    it.up()
    assert [each[:2] for each in it.releases()] == [("castai-pod-pinner", "deployed")]
    found = installed(place)
    assert found is not None
    assert found["spec"]["replicas"] == 2
    assert it.up().counts == {"unchanged": 3}


def test_a_lost_state_is_imported(project: Make, place: ClusterHandle, repository: Repository) -> None:
    program = pinner(repository, replicas=1)
    project(program).up()
    before = installed(place)
    assert before is not None

    other = project(program)
    assert "cannot reuse a name that is still in use" in other.fails("up", "--yes")
    taken_over(other)
    other.up()
    after = installed(place)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert other.up().counts == {"unchanged": 3}


def taken_over(it: Project) -> None:
    """The command of the guide for a release that exists and is not in the state."""
    parent = next(each["urn"] for each in it.state["resources"] if each["type"] == "moorage:index:PodPinner")
    identity = f"{NAMESPACE}/castai-pod-pinner"
    options = ("--yes", "--protect=false", "--generate-code=false", f"--parent=component={parent}")
    it("import", RELEASE, "pinner", identity, *options)


def test_a_cluster_that_goes_away_in_the_middle(
    project: Make, place: ClusterHandle, repository: Repository, through: Relay
) -> None:
    it = project(pinner(repository, **NEVER_READY))
    it.environment["KUBECONFIG"] = str(through.kubeconfig)
    started = begun(it, place)
    through.cut()
    done = it.end(started, "up")
    assert done.code != 0, done
    assert through.address in done.text

    through.mend()
    it.write(pinner(repository, replicas=1))
    assert "cannot reuse a name that is still in use" in it.fails("up", "--yes", "--skip-preview")
    it.uninstall()
    it.up()
    assert [each[:2] for each in it.releases()] == [("castai-pod-pinner", "deployed")]
