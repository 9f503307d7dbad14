"""Validates an action without the cluster: names, quantities, labels, sizes.

The pinner refuses an invalid instruction before it changes anything, and plan files name the line. The rules are those
of kube-apiserver (apimachinery/pkg/util/validation, core/validation), so that the API server accepts everything that is
valid here. Limits on sizes and absurd values are our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from moorage.objects import Taint
from moorage.objects.node import CSI_VOLUMES, VOLUMES
from moorage.objects.quantity import QuantityError, parse

from .messages import Action, CreatePlaceholder, ExpectPods, PinPods, PodRef, Promise, Slot
from .reasons import ReasonCode

MAX_PODS = 1000
"""The largest number of pods in a PinPods, and of slots in an ExpectPods."""
MAX_COUNT = 10_000
"""The largest number of pods of one slot."""
MAX_RESOURCES = 64
MAX_LABELS = 256
MAX_TAINTS = 64
MAX_MATCHED = 64
LATE = "late"
"""The profile of nodes whose machines create their own Node."""
MAX_PROVIDER_ID = 1024
MAX_UID = 128
HOSTNAME = "kubernetes.io/hostname"
"""The label with the name of a node's machine."""
_LONGEST_VALUE = 63

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_NAME_PART = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_RESOURCES = ("cpu", "memory", "pods", "ephemeral-storage")
_NEEDED = ("cpu", "memory", "pods")
_MIGRATED = {
    "aws-ebs": "ebs.csi.aws.com",
    "gce-pd": "pd.csi.storage.gke.io",
    "azure-disk": "disk.csi.azure.com",
    "cinder": "cinder.csi.openstack.org",
}
"""Drivers of the plug-ins that Kubernetes once had in its own tree (csi-translation-lib/plugins)."""
_OWNER_KINDS = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# Far above any machine: 100,000 cores, 1 EiB, 10,000 pods.
_LIMITS = {"cpu": 10**5, "memory": 2**60, "ephemeral-storage": 2**60, "pods": 10**4}
_LIMIT = 2**60

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """A problem and its path: keys and indexes below the action, in the words of plan files."""

    reason: ReasonCode
    path: Path
    sentence: str

    def __str__(self) -> str:
        """``allocatable.cpu: …``."""
        return f"{dotted(self.path)}: {self.sentence}" if self.path else self.sentence


def dotted(path: Path) -> str:
    """A path as users write it: ``pods[3].uid``. Keys with dots or slashes are in brackets."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and part.replace("_", "").isalnum()
        text += (f".{part}" if text else str(part)) if plain else f"[{part}]"
    return text


def problems(action: Action) -> Iterator[Problem]:
    """All problems of an action, the most important one first; none when it is valid."""
    match action:
        case CreatePlaceholder(promise):
            yield from _below(promise_problems(promise), "promise")
        case PinPods(node, pods):
            yield from _node(node)
            yield from _pods(pods)
        case ExpectPods(node, slots):
            yield from _node(node)
            yield from _slots(slots)
        case _:
            yield from _node(action.node)


def promise_problems(promise: Promise) -> Iterator[Problem]:
    """All problems of a promised node. Paths are those of a node in a plan file."""
    yield from _node(promise.name, "name")
    yield from quantity_problems(promise.allocatable, "allocatable", needed=_NEEDED)
    yield from _static_pods(promise)
    yield from _labels(promise.labels)
    yield from _taints(promise.taints, "taints")
    yield from _taints(promise.startup_taints, "startupTaints")
    given = promise.provider_id
    if len(given) > MAX_PROVIDER_ID or not given.isprintable() or any(map(str.isspace, given)):
        yield Problem(ReasonCode.INVALID_METADATA, ("providerID",), "not a provider id (aws:///zone-a/i-0123)")
    yield from _selection(promise)


def subdomain_problem(text: str) -> str:
    """Why a text is not an RFC 1123 subdomain (names of Nodes and pods); empty when it is one."""
    if not text:
        return "is empty"
    if len(text) > 253:
        return f"has {len(text)} characters, 253 are allowed"
    for part in text.split("."):
        if not _LABEL.fullmatch(part):
            return f"{_shown(text)} is not made of lower-case letters, digits and '-', in parts separated by '.'"
    return ""


def registration_problem(name: str, labels: Mapping[str, str]) -> str:
    """Why no machine could register under a name; empty when one can.

    A kubelet gives its Node the label kubernetes.io/hostname, whose value is the Node's name
    (kubelet_node_status.go, initialNode). If the API server refuses the label, the kubelet tries again for ever
    (registerWithAPIServer), also beside a placeholder: it creates first, and what is not valid is refused before
    what exists. Only --node-labels gives the label another value, on a placeholder, too.

    Args:
        name: the Node's name.
        labels: its promised labels.
    """
    if len(name) <= _LONGEST_VALUE or labels.get(HOSTNAME):
        return ""
    return (
        f"has {len(name)} characters: its kubelet could not register, because its label {HOSTNAME} takes "
        f"{_LONGEST_VALUE}; use a shorter name, or start the kubelet with --node-labels={HOSTNAME}=NAME and promise "
        "that label"
    )


def namespace_problem(text: str) -> str:
    """Why a text is not the name of a namespace; empty when it is one."""
    if not _LABEL.fullmatch(text) or len(text) > 63:
        return f"{_shown(text)} is not a namespace (at most 63 lower-case letters, digits and '-')"
    return ""


def label_key_problem(text: str) -> str:
    """Why a text is not the key of a label or taint; empty when it is one."""
    prefix, slash, name = text.rpartition("/")
    if slash and subdomain_problem(prefix):
        return f"the part of {_shown(text)} before '/' is not a DNS subdomain"
    if not _NAME_PART.fullmatch(name) or len(name) > 63:
        return f"{_shown(text)} is not a key (at most 63 letters, digits, '-', '_' and '.', after an optional prefix/)"
    return ""


def role_label_problem(key: str) -> str:
    """Why a label of this key must not be promised for a node; empty when it may be.

    Such labels restrict what a machine may be. A kubelet may not set them itself (NodeRestriction), and the admission
    policy of the chart refuses them.
    """
    prefix = key.rpartition("/")[0]
    restricted = f".{prefix}".endswith(".node-restriction.kubernetes.io")
    if not (restricted or prefix == "node-role.kubernetes.io" or key == "kubernetes.io/role"):
        return ""
    return f"{_shown(key)} restricts what a machine may be: only the cluster's administrator sets such labels"


def label_value_problem(text: str) -> str:
    """Why a text is not the value of a label or taint; empty when it is one."""
    if text and (not _NAME_PART.fullmatch(text) or len(text) > _LONGEST_VALUE):
        return f"{_shown(text)} is not a value (at most 63 letters, digits, '-', '_' and '.')"
    return ""


def quantity_problems(quantities: Mapping[str, str], where: str, *, needed: Sequence[str] = ()) -> Iterator[Problem]:
    """The problems of resource names and quantities. The ``needed`` ones must exist and be more than 0."""
    if len(quantities) > MAX_RESOURCES:
        sentence = f"{len(quantities)} resources, at most {MAX_RESOURCES} are allowed"
        yield Problem(ReasonCode.TOO_LARGE, (where,), sentence)
        return
    for resource, text in quantities.items():
        sentence = _resource_problem(resource) or _quantity_problem(resource, text, positive=resource in needed)
        if sentence:
            yield Problem(ReasonCode.INVALID_QUANTITY, (where, resource), sentence)
    for resource in needed:
        if resource not in quantities:
            yield Problem(ReasonCode.INVALID_QUANTITY, (where,), f"{resource} is missing")


def _node(name: str, where: str = "node") -> Iterator[Problem]:
    if sentence := subdomain_problem(name):
        yield Problem(ReasonCode.INVALID_NODE_NAME, (where,), sentence)


def _resource_problem(name: str) -> str:
    if "/" in name:
        return label_key_problem(name)
    if name.startswith(VOLUMES):
        return _volumes_problem(name)
    if name in _RESOURCES or name.startswith("hugepages-"):
        return label_key_problem(name)
    close = get_close_matches(name, _RESOURCES, 1)
    hint = f"; did you mean {close[0]}?" if close else f" ({', '.join(_RESOURCES)}, or example.com/name)"
    return f"{_shown(name)} is not a resource{hint}"


def _volumes_problem(name: str) -> str:
    """Why a limit of volumes is of no CSI driver: no other limit counts in any supported version of Kubernetes."""
    if name.startswith(CSI_VOLUMES):
        problem = subdomain_problem(name.removeprefix(CSI_VOLUMES))
        return f"the driver in {_shown(name)} {problem}" if problem else label_key_problem(name)
    driver = _MIGRATED.get(name.removeprefix(VOLUMES), "DRIVER")
    return f"{_shown(name)} limits volumes of no CSI driver: write {CSI_VOLUMES}{driver}"


def _quantity_problem(resource: str, text: str, *, positive: bool) -> str:
    try:
        value = parse(text)
    except QuantityError as error:
        return str(error) if len(text) <= 64 else f"{_shown(text)} is not a quantity"
    if value < 0 or (positive and value == 0):
        return f"{text} is not {'more than 0' if positive else '0 or more'}"
    if value > _LIMITS.get(resource, _LIMIT):
        return f"{text} is more than any machine has"
    pieces = resource == "pods" or resource.startswith(("hugepages-", VOLUMES)) or "/" in resource
    if pieces and value.denominator != 1:
        return f"{text} is not a whole number"
    return ""


def _static_pods(promise: Promise) -> Iterator[Problem]:
    """The problems of the room that static pods take of what is promised."""
    wrong = tuple(quantity_problems(promise.static_pods, "staticPods"))
    yield from wrong
    for resource, text in promise.static_pods.items() if not wrong else ():
        try:
            promised = parse(promise.allocatable.get(resource, "0"))
        except QuantityError:
            continue
        if parse(text) > promised:
            sentence = f"{text} is more than what is promised: allocatable has {promise.allocatable.get(resource, '0')}"
            yield Problem(ReasonCode.INVALID_QUANTITY, ("staticPods", resource), sentence)


def _labels(labels: Mapping[str, str]) -> Iterator[Problem]:
    if len(labels) > MAX_LABELS:
        sentence = f"{len(labels)} labels, at most {MAX_LABELS} are allowed"
        yield Problem(ReasonCode.TOO_LARGE, ("labels",), sentence)
        return
    for key, value in labels.items():
        if sentence := label_key_problem(key) or label_value_problem(value) or role_label_problem(key):
            yield Problem(ReasonCode.INVALID_METADATA, ("labels", key), sentence)


def _selection(promise: Promise) -> Iterator[Problem]:
    """The problems of how a late Node is identified when it registers."""
    if promise.node_claim and (sentence := subdomain_problem(promise.node_claim)):
        yield Problem(ReasonCode.INVALID_METADATA, ("nodeClaim",), sentence)
    if len(promise.match_labels) > MAX_MATCHED:
        sentence = f"{len(promise.match_labels)} labels, at most {MAX_MATCHED} are allowed"
        yield Problem(ReasonCode.TOO_LARGE, ("matchLabels",), sentence)
        return
    for key, value in promise.match_labels.items():
        if sentence := label_key_problem(key) or label_value_problem(value):
            yield Problem(ReasonCode.INVALID_METADATA, ("matchLabels", key), sentence)
    if sentence := selection_problem(promise, promise.profile):
        yield Problem(ReasonCode.INVALID_METADATA, ("profile",), sentence)


def selection_problem(promise: Promise, profile: str) -> str:
    """Why the identification of a Node is missing or has no effect; empty when it is valid.

    Args:
        promise: the promise.
        profile: the profile in effect; empty while it is unknown.
    """
    chosen = bool(promise.node_claim or promise.match_labels)
    if profile == LATE and not (chosen or promise.provider_id):
        return f"{LATE} must identify the Node when it registers: give providerID, nodeClaim or matchLabels"
    if profile not in ("", LATE) and chosen:
        return f"nodeClaim and matchLabels are for profile {LATE}, not for {profile}"
    return ""


def _taints(taints: Sequence[Taint], where: str) -> Iterator[Problem]:
    if len(taints) > MAX_TAINTS:
        sentence = f"{len(taints)} taints, at most {MAX_TAINTS} are allowed"
        yield Problem(ReasonCode.TOO_LARGE, (where,), sentence)
        return
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        sentence = label_key_problem(taint.key) or label_value_problem(taint.value)
        if not sentence and taint.effect not in _EFFECTS:
            sentence = f"effect {_shown(taint.effect)} is none of {', '.join(_EFFECTS)}"
        if not sentence and (taint.key, taint.effect) in seen:
            sentence = f"{taint.key}:{taint.effect} is there twice"
        seen.add((taint.key, taint.effect))
        if sentence:
            yield Problem(ReasonCode.INVALID_METADATA, (where, index), sentence)


def _pods(pods: Sequence[PodRef]) -> Iterator[Problem]:
    if not pods:
        yield Problem(ReasonCode.MALFORMED, ("pods",), "there is no pod in it")
    if len(pods) > MAX_PODS:
        yield Problem(ReasonCode.TOO_LARGE, ("pods",), f"{len(pods)} pods, at most {MAX_PODS} are allowed")
        return
    seen: set[PodRef] = set()
    for index, pod in enumerate(pods):
        sentence = namespace_problem(pod.namespace) or subdomain_problem(pod.name)
        if not sentence and not 1 <= len(pod.uid) <= MAX_UID:
            sentence = f"the uid has {len(pod.uid)} characters, 1 to {MAX_UID} are allowed"
        if not sentence and pod in seen:
            sentence = f"{pod} is there twice"
        seen.add(pod)
        if sentence:
            yield Problem(ReasonCode.MALFORMED, ("pods", index), sentence)


def _slots(slots: Sequence[Slot]) -> Iterator[Problem]:
    if not slots:
        yield Problem(ReasonCode.MALFORMED, ("slots",), "there is no slot in it")
    if len(slots) > MAX_PODS:
        yield Problem(ReasonCode.TOO_LARGE, ("slots",), f"{len(slots)} slots, at most {MAX_PODS} are allowed")
        return
    for index, slot in enumerate(slots):
        yield from _below(_slot(slot), "slots", index)


def _slot(slot: Slot) -> Iterator[Problem]:
    owner = slot.owner
    if owner.kind not in _OWNER_KINDS:
        sentence = f"kind {_shown(owner.kind)} is none of {', '.join(_OWNER_KINDS)}"
        yield Problem(ReasonCode.MALFORMED, ("owner", "kind"), sentence)
    if sentence := namespace_problem(owner.namespace):
        yield Problem(ReasonCode.MALFORMED, ("owner", "namespace"), sentence)
    if sentence := subdomain_problem(owner.name):
        yield Problem(ReasonCode.MALFORMED, ("owner", "name"), sentence)
    if len(owner.uid) > MAX_UID:
        yield Problem(ReasonCode.MALFORMED, ("owner", "uid"), f"has more than {MAX_UID} characters")
    yield from quantity_problems(slot.requests, "requests")
    if not 1 <= slot.count <= MAX_COUNT:
        yield Problem(ReasonCode.INVALID_QUANTITY, ("count",), f"{slot.count} is not between 1 and {MAX_COUNT}")


def _below(problems: Iterator[Problem], *prefix: str | int) -> Iterator[Problem]:
    for problem in problems:
        yield problem._replace(path=(*prefix, *problem.path))


def _shown(text: str) -> str:
    """A text from outside: quoted, shortened, control characters escaped."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
