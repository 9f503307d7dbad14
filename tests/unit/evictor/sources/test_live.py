"""One list per kind from an API server: the objects, and the messages about missing kinds."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from moorage.cli import evictor, explain, looking
from moorage.evictor import kinds
from moorage.evictor.sources import live
from moorage.evictor.sources.result import SourceResult
from moorage.kube import errors
from tests.unit.evictor.build import merged
from tests.unit.evictor.compaction.build import replica
from tests.unit.evictor.sources.api import CONFIG, PATHS, PRICES, RULES, Cluster
from tests.unit.evictor.sources.dumps import NAMESPACES, TWO, WHERE, config_map
from tests.unit.evictor.test_configuration import ENTRY, resource
from tests.unit.pinner.commands.check.api import connected, denied, kubeconfig, no_right, serving, status


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    async def soon(_seconds: float) -> None:
        return None

    monkeypatch.setattr(live, "_pause", soon)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


async def gathered(api: Cluster, folder: Path, **more: Any) -> SourceResult:
    async with connected(api, folder) as client:
        return await live.gather(client.transport, WHERE, **more)


async def test_everything_is_listed_once_in_pages_and_nothing_else_is_asked(tmp_path: Path) -> None:
    api, told = Cluster(), dict[str, int]()
    found = await gathered(api, tmp_path, progress=told.__setitem__)
    assert {kind: sorted(things) for kind, things in found.inventory.objects.items()} == {
        "Namespace": ["kube-node-lease", "shop"],
        "Node": ["n1", "n2"],
        "Pod": ["shop/a", "shop/b", "shop/c"],
        "ReplicaSet": ["shop/web-1"],
    }
    assert (found.inventory.unseen, found.inventory.unread, found.notes) == ({}, {}, ())
    assert abs(found.inventory.now - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.source.startswith("http://127.0.0.1:")
    assert {each.method for each in api.asked} == {"GET"}
    assert not any("watch" in each.query for each in api.asked)
    asked = [each.path for each in api.asked]
    assert sorted({*asked}) == sorted([*PATHS.values(), RULES, PRICES, CONFIG])
    assert len(asked) == len(PATHS) + 3 + 1, "pods come in two pages"
    assert told == {each.plural: len(found.inventory.objects.get(each.kind, ())) for each in kinds.KINDS}


async def test_configuration_of_the_cluster(tmp_path: Path) -> None:
    api = Cluster()
    rules = config_map("castai-evictor-config", "config.yaml", [ENTRY])
    odd = {**config_map("castai-evictor-prices", "a", []), "data": None}
    api.special |= {
        RULES: lambda: web.json_response(rules),
        PRICES: lambda: web.json_response(odd),
        CONFIG: lambda: web.json_response(resource({"scopedMode": True})),
    }
    found = (await gathered(api, tmp_path)).found
    assert found.rules == json.dumps([ENTRY])
    assert found.resource is not None
    assert found.resource["spec"] == {"config": {"scopedMode": True}}
    (wrong,) = found.wrong
    assert str(wrong) == (
        "ConfigMap castai-agent/castai-evictor-prices: data: prices.yaml is missing; there is nothing"
    )


async def test_configuration_that_is_no_such_thing(tmp_path: Path) -> None:
    api = Cluster()
    api.special |= dict.fromkeys((RULES, CONFIG), lambda: web.json_response([1]))
    found = (await gathered(api, tmp_path)).found
    assert [each.source for each in found.wrong] == [
        "ConfigMap castai-agent/castai-evictor-config",
        "EvictorConfig evictor-config",
    ]


@pytest.mark.parametrize("kind", sorted(PATHS.keys() - {"Node"}))
async def test_a_missing_right_hides_one_kind(kind: str, tmp_path: Path) -> None:
    api = Cluster()
    plural = next(each.plural for each in kinds.KINDS if each.kind == kind)
    api.special[PATHS[kind]] = lambda: no_right(plural, "list")
    found = (await gathered(api, tmp_path)).inventory
    assert found.unseen == {kind: f"may not list {plural}"}
    assert kind not in found.objects


async def test_rights_to_see_the_configuration_are_missed_too(tmp_path: Path) -> None:
    api = Cluster()
    api.special |= {
        RULES: lambda: no_right("configmaps", "get"),
        PRICES: lambda: no_right("configmaps", "get"),
        CONFIG: denied,
    }
    found = await gathered(api, tmp_path)
    assert found.inventory.unseen["ConfigMap"] == "may not get castai-evictor-config, may not get castai-evictor-prices"
    assert found.inventory.unseen["EvictorConfig"].startswith("evictor-config is refused: ")
    assert found.found.wrong == ()


async def test_kinds_that_are_not_served(tmp_path: Path) -> None:
    api = Cluster()
    for kind in ("NodeClaim", "NodePool", "DeviceClass", "CronJob"):
        del api.items[PATHS[kind]]
    found = (await gathered(api, tmp_path)).inventory
    assert found.unseen == {"CronJob": "the API server does not serve batch/v1 of it"}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: web.Response(text="<html>"), "cannot be read: list /apis/batch/v1/jobs: not a list: "),
        (lambda: status(503, "not now"), "cannot be listed: GET /apis/batch/v1/jobs: 503 x: not now"),
        (denied, "refused: nodes "),
    ],
)
async def test_one_kind_that_cannot_be_had(answer: Any, sentence: str, tmp_path: Path) -> None:
    api = Cluster()
    api.special[PATHS["Job"]] = answer
    found = (await gathered(api, tmp_path)).inventory
    assert found.unseen["Job"].startswith(sentence)
    assert len(found.objects["Pod"]) == 3


async def test_a_list_that_grew_too_old_is_begun_again(tmp_path: Path) -> None:
    api, refusals = Cluster(), [status(410, "too old"), status(429, "later"), status(500, "again")]
    whole = web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": TWO[2:3]})
    api.special[PATHS["Pod"]] = lambda: refusals.pop(0) if refusals else whole
    found = (await gathered(api, tmp_path)).inventory
    assert list(found.objects["Pod"]) == ["shop/a"]
    assert found.unseen == {}


async def test_an_odd_object_costs_only_what_it_decides(tmp_path: Path) -> None:
    odd = merged(replica("d", "n2"), {"spec": {"tolerations": 5}})
    found = (await gathered(Cluster(*NAMESPACES, *TWO, odd), tmp_path)).inventory
    assert found.unread["Pod"]["shop/d"].fields == ("spec.tolerations",)
    assert len(found.objects["Pod"]) == 3


async def test_without_nodes_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    api = Cluster()
    api.special[PATHS["Node"]] = lambda: no_right("nodes", "list")
    with pytest.raises(live.NothingSeen, match="nodes cannot be seen: may not list nodes"):
        await gathered(api, tmp_path)


async def test_whom_nobody_knows_sees_nothing(tmp_path: Path) -> None:
    api = Cluster()
    api.special |= dict.fromkeys(PATHS.values(), lambda: status(401, "who are you"))
    with pytest.raises(errors.Unauthorized):
        await gathered(api, tmp_path)


async def run(api: Cluster, folder: Path, command: Any, prog: str, *flags: str) -> int:
    async with serving(api) as url:
        arguments = command.parser(prog).parse_args(["--kubeconfig", str(kubeconfig(url, folder)), *flags])
        return await asyncio.to_thread(command.main, arguments)


async def test_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(Cluster(), tmp_path, evictor, "moorage evictor", "--once", "-o", "json") == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["chosen"]] == ["n1"]
    assert await run(Cluster(), tmp_path, explain, "moorage explain", "pod", "shop/a") == 0
    assert capsys.readouterr().out.startswith("Pod shop/a may be evicted.")


async def test_as_a_command_with_too_few_rights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = Cluster()
    api.special[PATHS["PodDisruptionBudget"]] = lambda: no_right("poddisruptionbudgets", "list")
    assert await run(api, tmp_path, evictor, "moorage evictor", "--once") == looking.NOT_ALL_SEEN
    said = capsys.readouterr()
    assert "PodDisruptionBudget could not be listed (may not list poddisruptionbudgets)." in said.out
    assert said.err == "", "quiet where nobody watches"
    api.special[PATHS["Node"]] = lambda: no_right("nodes", "list")
    assert await run(api, tmp_path, evictor, "moorage evictor", "--once") == 1
    assert capsys.readouterr().err.startswith("moorage evictor: nodes cannot be seen: may not list nodes.")
