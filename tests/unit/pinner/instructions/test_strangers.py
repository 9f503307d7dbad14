"""Where a placeholder would be an empty zone, or be taken for another machine: refused before anything is stored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import Node
from moorage.objects.node import COPIED_LABELS
from moorage.pinner.instructions import strangers
from moorage.pinner.instructions.judge import Accepted
from moorage.protocol import CreatePlaceholder, Promise
from tests.unit.pinner.instructions.test_judge import NOBODY, ROOM, held, take, why
from tests.unit.pinner.model import NAME, reservation_of

ZONE, REGION = COPIED_LABELS
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"


def node(name: str = "real", *, kubelet: bool = True, **labels: str) -> Node:
    keys = {"zone": ZONE, "region": REGION, "host": HOSTNAME, "old": OLD_ZONE}
    named = {keys[key]: value for key, value in labels.items()}
    info = {"nodeInfo": {"kubeletVersion": "v1"}} if kubelet else {}
    return msgspec.convert({"metadata": {"name": name, "labels": named}, "status": info}, Node)


def promised(allow: bool = False, name: str = NAME, **more: Any) -> CreatePlaceholder:
    return CreatePlaceholder(Promise(name, ROOM, allow_new_zone=allow, **more))


IN_B: dict[str, Any] = {"labels": {ZONE: "b"}}


@pytest.mark.parametrize(
    ("promise", "nodes", "refused"),
    [
        (promised(**IN_B), [node(zone="a")], True),
        (promised(**IN_B), [node(zone="a"), node("other", zone="b")], False),
        (promised(True, **IN_B), [node(zone="a")], False),
        (promised(**IN_B), [], False),
        (promised(**IN_B), [node()], False),
        (promised(**IN_B), [node(region="r")], False),
        (promised(), [node(zone="a")], False),
        (promised(labels={ZONE: ""}), [node(zone="a")], False),
        (promised(**IN_B), [node(zone="a"), node("placeholder", kubelet=False, zone="b")], True),
        (promised(**IN_B), [node("placeholder", kubelet=False, zone="a")], False),
        (promised(labels={ZONE: "a", REGION: "s"}), [node(zone="a", region="r")], True),
        (promised(labels={ZONE: "a", REGION: "r"}), [node(zone="a", region="r")], False),
        (promised(profile="late", provider_id="p", **IN_B), [node(zone="a")], False),
        (promised(labels={ZONE: "a", OLD_ZONE: "b"}), [node(zone="a", old="a")], True),
        (promised(labels={ZONE: "a", OLD_ZONE: "a"}), [node(zone="a")], False),
    ],
)
def test_a_zone_is_new_when_no_machine_has_it_and_some_machine_has_another(
    promise: CreatePlaceholder, nodes: list[Node], refused: bool
) -> None:
    judgement = take(promise, NOBODY, nodes=nodes)
    if not refused:
        assert isinstance(judgement, Accepted)
        return
    assert why(judgement) == ("rejected", "NEW_ZONE")
    assert "set allowNewZone" in judgement.refusal.sentence
    assert isinstance(take(CreatePlaceholder(_allowed(promise.promise)), NOBODY, nodes=nodes), Accepted)


def _allowed(promise: Promise) -> Promise:
    return Promise(promise.name, promise.allocatable, promise.labels, allow_new_zone=True)


def test_what_was_accepted_stays_accepted_when_the_last_machine_of_its_zone_goes() -> None:
    first = take(promised(**IN_B), NOBODY, nodes=[node(zone="b")])
    corner = held(reservation=reservation_of(first.spec))
    for again in (promised(**IN_B), promised(True, **IN_B)):
        assert isinstance(take(again, corner, id="other", nodes=[node(zone="a")]), Accepted)


def test_what_is_promised_is_stored() -> None:
    judgement = take(promised(True, static_pods={"cpu": "1", "pods": "2"}), NOBODY)
    assert judgement.spec.promise.allow_new_zone
    assert judgement.spec.promise.static_pods == {"cpu": "1", "pods": "2"}


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.booleans())), st.sampled_from(["a", "b", "c"]))
def test_only_what_machines_have_counts_in_any_order(there: list[tuple[str, bool]], zone: str) -> None:
    nodes = [node(f"n{number}", kubelet=real, zone=value) for number, (value, real) in enumerate(there)]
    promise = promised(labels={ZONE: zone}).promise
    machines = {value for value, real in there if real and value}
    for each in (nodes, nodes[::-1]):
        refusal = strangers.refuse(promise, lambda each=each: each)  # type: ignore[misc]
        assert (refusal is not None) == (bool(machines) and zone not in machines)


@pytest.mark.parametrize(
    ("host", "nodes", "refused"),
    [
        ("real", [node(host="real")], True),
        ("short", [node(host="short")], True),
        ("real", [node()], True),
        ("short", [node(host="real")], False),
        (NAME, [node(host="real")], False),
        (NAME, [node(host=NAME)], False),
        ("short", [node(NAME, kubelet=False, host="short")], False),
    ],
)
def test_a_hostname_label_that_names_another_machine_is_refused(host: str, nodes: list[Node], refused: bool) -> None:
    refusal = strangers.refuse(promised(labels={HOSTNAME: host}).promise, lambda: nodes)
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.reason.name == "INVALID_METADATA"
        assert refusal.text == f"label {HOSTNAME}: {host} is node real; leave the label out, the kubelet sets it"


@pytest.mark.parametrize("length", [63, 64, 253])
@pytest.mark.parametrize("profile", ["generic", "late"])
@pytest.mark.parametrize("labels", [{}, {HOSTNAME: "short"}])
def test_a_name_that_no_kubelet_could_register_is_refused_with_the_way_out(
    length: int, profile: str, labels: dict[str, str]
) -> None:
    name = "n" * 60 + "." + "n" * (length - 61) if length < 122 else ".".join(["n" * 62] * 4) + "nn"
    assert len(name) == length
    more: dict[str, Any] = {"profile": profile, "provider_id": "p"} if profile == "late" else {}
    judgement = take(promised(name=name, labels=labels, **more), NOBODY)
    if length > 63 and profile != "late" and not labels:
        assert why(judgement) == ("rejected", "INVALID_NODE_NAME")
        assert f"the node's name has {length} characters: its kubelet could not register" in judgement.refusal.sentence
        assert "--node-labels=kubernetes.io/hostname=NAME" in judgement.refusal.sentence
    else:
        assert isinstance(judgement, Accepted)
