"""Which parts of Moorage, or of the closed product, are in a cluster, and whose releases hold them; pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..installed.gathering import Hidden
from ..installed.programs import PART_OF, Program
from .surroundings import RELEASE, Surroundings

PINNER, EVICTOR, PLANNER = "castai-pod-pinner", "castai-evictor", "moorage-planner"
PARTS = (PINNER, EVICTOR, PLANNER)
"""Each part by the name of its chart."""
_COMMANDS = {"pod-pinner": PINNER, "evictor": EVICTOR, "planner": PLANNER}
_NAME, _CHART = "app.kubernetes.io/name", "helm.sh/chart"
_FLUX = "helm.toolkit.fluxcd.io/name"
_ARGO = "argocd.argoproj.io/tracking-id"
_ARGO_LABEL = "argocd.argoproj.io/instance"
_VERSION = re.compile(r"-v?([0-9]+(?:\.[0-9]+)*[^-]*)\Z")


class Whose(enum.Enum):
    """Whose program a Deployment runs."""

    OURS = "Moorage's"
    CLOSED = "the closed product's"


@dataclass(frozen=True, slots=True)
class Standing:
    """A part that is there.

    Attributes:
        part: one of ``PARTS``.
        whose: whose program it is.
        name: of its Deployment.
        namespace: of its Deployment.
        release: of Helm, which holds it; empty without Helm.
        chart: of that release; empty when it cannot be told.
        keeper: the GitOps tool that keeps it, for sentences; empty when there is none.
        version: of its chart; empty when it is not known.
        replicas: as they are wanted.
    """

    part: str
    whose: Whose
    name: str
    namespace: str
    release: str
    chart: str
    keeper: str
    version: str
    replicas: int

    @property
    def place(self) -> str:
        """For sentences."""
        return f"Deployment {self.namespace}/{self.name}"


def standing(found: Surroundings) -> list[Standing]:
    """Every part in the cluster that can be seen, in the order of ``PARTS``."""
    programs = found.programs if isinstance(found.programs, tuple) else ()
    result = [_standing(found, part, whose, each, programs) for each in programs for part, whose in _parts(each)]
    return sorted(result, key=lambda each: (PARTS.index(each.part), each.namespace, each.name))


def _parts(program: Program) -> Iterator[tuple[str, Whose]]:
    """The part that a Deployment is, if it is one; and whose."""
    labels = program.metadata.labels
    key, _, value = PART_OF.partition("=")
    if labels.get(key) == value:
        if program.command in _COMMANDS:
            yield _COMMANDS[program.command], Whose.OURS
        return
    for part in (PINNER, EVICTOR):
        chart = _VERSION.sub("", labels.get(_CHART, ""))
        if part in (labels.get(_NAME), chart, program.metadata.name):
            yield part, Whose.CLOSED
            return


def _standing(found: Surroundings, part: str, whose: Whose, program: Program, programs: Iterable[Program]) -> Standing:
    meta = program.metadata
    release = meta.annotations.get(RELEASE, "")
    version = _VERSION.search(meta.labels.get(_CHART, ""))
    return Standing(
        part=part,
        whose=whose,
        name=meta.name,
        namespace=meta.namespace,
        release=release,
        chart=_chart(found, part, release, program, programs) if release else "",
        keeper=_keeper(program),
        version=version[1] if version is not None else "",
        replicas=program.spec.replicas,
    )


def _chart(found: Surroundings, part: str, release: str, program: Program, programs: Iterable[Program]) -> str:
    """The chart of a release: as Helm has stored it. Without that, a release that is called like the part is its."""
    namespace = program.metadata.namespace
    known = None if isinstance(found.releases, Hidden) else found.releases.get(release)
    if known is not None and known.chart and namespace == found.namespace:
        return known.chart
    others = (
        each
        for each in programs
        if each.metadata.annotations.get(RELEASE) == release
        and each.metadata.namespace == namespace
        and not each.metadata.name.startswith(program.metadata.name)  # the closed evictor has a second one, for sizes
    )
    return part if release == part and next(others, None) is None else ""


def _keeper(program: Program) -> str:
    labels, annotations = program.metadata.labels, program.metadata.annotations
    if name := labels.get(_FLUX):
        return f"HelmRelease {name} of Flux"
    if name := annotations.get(_ARGO, "").partition(":")[0] or labels.get(_ARGO_LABEL, ""):
        return f"Application {name} of Argo CD"
    return ""
