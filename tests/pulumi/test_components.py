"""What the components register, and what they refuse, without an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

import pulumi_moorage as moorage
from tests.pulumi.engine import RELEASE, later, run, secret, unknown

HERE = {"repository": "http://127.0.0.1:1"}


def pinner(**settings: Any) -> Callable[[], object]:
    """A program with one component; a function among the settings is called in it, where Outputs can be made."""

    def program() -> object:
        made = {name: value() if callable(value) else value for name, value in settings.items()}
        return moorage.PodPinner("pinner", **{**HERE, **made})

    return program


def test_a_release_in_a_component() -> None:
    ran = run(pinner(replicas=3, chart_version="2.0.0", timeout=60, skip_await=True, create_namespace=True))
    assert ran.error is None
    component, release = ran.resources
    assert (component.type, component.name) == ("moorage:index:PodPinner", "pinner")
    assert (release.type, release.name, release.parent) == (RELEASE, "pinner", component.urn)
    assert release.inputs == {
        "name": "castai-pod-pinner",
        "namespace": "castai-agent",
        "createNamespace": True,
        "chart": "castai-pod-pinner",
        "repositoryOpts": {"repo": "http://127.0.0.1:1"},
        "version": "2.0.0",
        "timeout": 60,
        "skipAwait": True,
        "allowNullValues": True,
        "compat": "true",
        "values": {"replicas": 3},
    }


def test_several_mistakes_and_nothing_is_registered() -> None:
    ran = run(pinner(dry_run="yes", log={"level": "loud"}, replicaz=3, timeout="5m", chart_verson="1"))
    assert ran.resources == []
    assert ran.refusal == [
        "timeout: '5m' is not a whole number",
        "chart_verson: unknown field 'chart_verson'; did you mean chart_version?",
        "dryRun: 'yes' is not true or false",
        "log.level: 'loud' is none of debug, info, warning, error",
        "replicaz: unknown field 'replicaz'; did you mean replicas?",
    ]


def test_what_is_not_known_is_skipped_and_the_rest_is_checked() -> None:
    ran = run(
        pinner(
            castai=lambda: {"clusterID": unknown(), "grpcURL": "no address"},
            image_pull_secrets=lambda: [{"name": unknown()}, {"nam": "x"}],
            pod_labels=unknown,
        ),
        preview=True,
    )
    assert ran.refusal == ["x"]


def test_what_is_known_later_is_checked_before_the_release() -> None:
    ran = run(pinner(castai=lambda: {"grpcURL": later("no address"), "clusterID": unknown()}, replicas=0), preview=True)
    assert ran.refusal == ["x"]
    assert [each.type for each in ran.resources] == ["moorage:index:PodPinner"]


def test_nothing_runs() -> None:
    ran = run(pinner(replicas=0))
    assert ran.warnings == ["x"]
    assert ran.release["values"] == {"replicas": 0}


def test_secrets() -> None:
    ran = run(pinner(api_key="not shown to anybody\n", replicas=0))
    assert ran.refusal == ["x"]
    ran = run(pinner(api_key="good-key", replicas=1))
    assert ran.release["values"] == {"replicas": 1, "castai": {"apiKey": secret("good-key")}}
    ran = run(pinner(api_key="good-key", api_key_secret_ref={"name": "my-secret"}))
    assert ran.refusal == ["x"]
