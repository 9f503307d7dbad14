"""The registry: every plugin is one module with upstream's name, and one line adds it to both queries."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage.scheduling import Finding, Fit, Reason, Snapshot, plugins, state
from moorage.scheduling.nodes import Bools
from moorage.scheduling.plugins.plugin import Plugin
from moorage.scheduling.pod_class import PodClass
from moorage.scheduling.registry import PLUGINS

from .build import node, pod


def test_every_module_of_plugins_is_registered_under_its_own_name() -> None:
    folder = Path(plugins.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "plugin"}
    assert {plugin.__module__.rpartition(".")[2] for plugin in PLUGINS} == modules
    for plugin in PLUGINS:
        module = plugin.__module__.rpartition(".")[2]
        assert plugin.__name__ == "".join(part.title() for part in module.split("_"))


def test_every_reason_is_of_a_registered_plugin() -> None:
    named = {reason.plugin for reason in Reason} - {""}
    assert named == {plugin.__name__ for plugin in PLUGINS}


class _NodeParity(Plugin[PodClass]):
    """Refuses nodes in odd slots, and nodes with more than one pod."""

    def restrict(self, mask: Bools, pod_class: PodClass) -> None:
        for slot in range(len(mask)):
            mask[slot] = mask[slot] and not self.findings(slot, pod_class)

    def findings(self, slot: int, pod_class: PodClass) -> list[Finding]:
        odd = slot % 2 or pod_class.pods_at.get(slot, 0) > 1
        return [Finding(Reason.NODE_NAME, "slot", str(slot))] if odd else []


def test_one_line_more_and_both_questions_ask_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "PLUGINS", (*PLUGINS, _NodeParity))
    snapshot = Snapshot()
    for number in range(4):
        snapshot.apply(node(f"n{number}"))
    for number in range(2):
        snapshot.place(pod(f"there-{number}"), "n2")
    pending = pod("new")
    assert snapshot.fitting(pending) == ["n0"]
    verdicts = {name: snapshot.verdict(pending, name) for name in ("n0", "n1", "n2", "n3")}
    assert [verdict.fit for verdict in verdicts.values()] == [Fit.YES, Fit.NO, Fit.NO, Fit.NO]
    assert {finding.field for finding in verdicts["n1"].findings} == {"slot"}
    assert [snapshot.fits_at(pending, slot) for slot in range(4)] == [True, False, False, False]
