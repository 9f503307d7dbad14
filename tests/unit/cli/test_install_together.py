"""``moorage install`` for whatever is in a cluster: each command is one that Helm and the charts take."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from moorage.cli import install
from moorage.cli.installed.programs import Program
from moorage.cli.installing.judging import Step, judge
from moorage.cli.installing.standing import PARTS
from moorage.files import values as chart_values
from moorage.files.yamlfile import Document
from tests.unit.cli.cluster_parts import NAMESPACE, REFUSED, VERSION, closed, deployment, found, node, ours

AGENT = deployment("castai-agent", release="castai")
STANDING: dict[str, Callable[[str], list[Program]]] = {
    "nothing": lambda _: [],
    "ours": lambda part: [ours(part)],
    "older": lambda part: [ours(part, version="1.0.0")],
    "umbrella": lambda part: [ours(part, "moorage")],
    "closed": lambda part: [closed(part, replicas=0)],
    "closed umbrella": lambda part: [closed(part, "castai"), AGENT],
    "elsewhere": lambda part: [ours(part, namespace="elsewhere")],
    "gitops": lambda part: [ours(part, **{"helm.toolkit.fluxcd.io/name": "x"})],
}
NEEDED = {"nothing", "older", "closed"}
LEFT_OUT = {"elsewhere", "gitops", "closed umbrella"}
SHAPES = st.tuples(
    st.sampled_from(sorted(STANDING)),
    st.sampled_from(sorted(STANDING)),
    st.sampled_from(sorted(STANDING.keys() - {"closed", "closed umbrella"})),  # there is no closed planner
)


@given(
    shape=SHAPES,
    nodes=st.lists(st.sampled_from([node(), node(provider="aws:///a/i-1"), node(ready=False)]), max_size=3).map(tuple),
    groups=st.frozensets(st.sampled_from(["karpenter.sh", "cert-manager.io", "security.openshift.io"])),
    monitors=st.frozensets(st.sampled_from(["servicemonitors", "prometheusrules"])),
    controller=st.booleans(),
    autoscaled=st.sampled_from([None, True, REFUSED]),
)
def test_whatever_is_there_each_command_is_one_that_helm_takes(
    shape: tuple[str, ...], controller: bool, **around: Any
) -> None:
    programs = [each for how, part in zip(shape, PARTS, strict=True) for each in STANDING[how](part)]
    programs += [deployment("castai-cluster-controller", release="cc")] if controller else []
    plan = judge(found(*programs, **around), VERSION)
    assert not plan.blockers
    there = {each.metadata.annotations.get("meta.helm.sh/release-name") for each in programs}
    if "elsewhere" not in shape:
        assert [each.installs for each in plan.steps] == [each.release not in there for each in plan.steps]
    assert len({each.release for each in plan.steps}) == len(plan.steps)
    for how, part in zip(shape, PARTS, strict=True):
        about = [each for each in plan.steps if part in installed(each)]
        assert len(about) == 1 if how in NEEDED else len(about) <= 1
        assert not about or how not in LEFT_OUT
        for each in about:
            assert mistakes(part, below(each, part)) == []
    settings = install.InstallSettings(namespace=NAMESPACE)
    script = "\n".join(install.lines(settings, "https://a.b", plan)).replace("\\\n", "")
    commands = [shlex.split(line) for line in script.splitlines() if not line.startswith(("#", "set -e"))]
    assert commands == [install.command(settings, each) for each in plan.steps]
    assert all("--reset-then-reuse-values" in words for words in commands)
    assert all(("--create-namespace" in words) == ("--install" in words) for words in commands)


def installed(each: Step) -> set[str]:
    """The parts that a command installs or upgrades; of an upgraded umbrella those that it switches on."""
    if each.chart != "moorage":
        return {each.chart}
    off = {part for part in PARTS if each.values.get(f"{part}.enabled") == "false"}
    on = {part for part in PARTS if each.values.get(f"{part}.enabled") == "true"}
    return set(PARTS) - off if each.installs else on


def below(each: Step, part: str) -> dict[str, str]:
    """The values of one part."""
    if each.chart == part:
        return dict(each.values)
    keys = [key for key in each.values if key.startswith(f"{part}.") and key != f"{part}.enabled"]
    return {key.removeprefix(f"{part}."): each.values[key] for key in keys}


def mistakes(part: str, flat: Mapping[str, str]) -> list[Any]:
    """What is wrong with values as --set gives them."""
    nested: dict[str, Any] = {}
    for key, text in flat.items():
        *above, last = key.split(".")
        at = nested
        for each in above:
            at = at.setdefault(each, {})
        typed = {"true": True, "false": False, "null": None}
        at[last] = typed[text] if text in typed else int(text) if text.isdecimal() else text
    return chart_values.mistakes(part, Document(nested, {}))
