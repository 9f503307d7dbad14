"""A pod as it will be stored: webhooks run before the API server merges ``matchLabelKeys`` into its selectors.

Follows ``pkg/registry/core/pod/strategy.go`` (applyMatchLabelKeysAndMismatchLabelKeys, applyMatchLabelKeys), with the
gates MatchLabelKeysInPodAffinity and MatchLabelKeysInPodTopologySpreadSelectorMerge on, as in 1.36. What comes from a
watch is merged already; merging it once more changes no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from moorage.objects.pod import Affinity, Pod, PodAffinity, PodAffinityTerm
from moorage.objects.selectors import LabelSelector, Requirement


def stored(pod: Pod) -> Pod:
    """Return the pod with the changes of the API server on creation that scheduling reads.

    Args:
        pod: as a mutating webhook gets it.

    Returns:
        The pod with matchLabelKeys and mismatchLabelKeys merged into the selectors of affinity and topology spread.
    """
    spec, labels = pod.spec, pod.metadata.labels
    spreads = tuple(
        replace(constraint, label_selector=_merged(constraint.label_selector, constraint.match_label_keys, (), labels))
        for constraint in spec.topology_spread_constraints
    )
    affinity = spec.affinity
    if affinity is not None:
        affinity = Affinity(
            affinity.node_affinity,
            _merged_affinity(affinity.pod_affinity, labels),
            _merged_affinity(affinity.pod_anti_affinity, labels),
        )
    if spreads == spec.topology_spread_constraints and affinity == spec.affinity:
        return pod
    return replace(pod, spec=replace(spec, affinity=affinity, topology_spread_constraints=spreads))


def _merged_affinity(group: PodAffinity | None, labels: Mapping[str, str]) -> PodAffinity | None:
    if group is None:
        return None
    return PodAffinity(
        tuple(_merged_term(term, labels) for term in group.required_during_scheduling_ignored_during_execution),
        tuple(
            replace(weighted, pod_affinity_term=_merged_term(weighted.pod_affinity_term, labels))
            for weighted in group.preferred_during_scheduling_ignored_during_execution
        ),
    )


def _merged_term(term: PodAffinityTerm, labels: Mapping[str, str]) -> PodAffinityTerm:
    selector = _merged(term.label_selector, term.match_label_keys, term.mismatch_label_keys, labels)
    return replace(term, label_selector=selector)


def _merged(
    selector: LabelSelector | None, equal: tuple[str, ...], different: tuple[str, ...], labels: Mapping[str, str]
) -> LabelSelector | None:
    added = tuple(
        Requirement(key, operator, (labels[key],))
        for keys, operator in ((equal, "In"), (different, "NotIn"))
        for key in keys
        if key in labels
    )
    if selector is None or not added:
        return selector
    return LabelSelector(selector.match_labels, selector.match_expressions + added)
