"""The pods that count as replacements of evicted pods."""

from __future__ import annotations

from datetime import timedelta

from moorage.drain import ClusterState, Reason, Settings
from moorage.drain.eviction_check import EvictionCheck
from moorage.drain.replacements import Replacements

from .build import NOW, Clock, deployed, owner, pod

WEB = owner("ReplicaSet", "web-1")


def test_a_replacement_that_was_made_within_the_same_second_is_waited_for_like_any_other() -> None:
    """The time of its creation has whole seconds: it seems to be older than the eviction."""
    evicted, other = pod("web-0", WEB, app="web"), pod("web-1", WEB, app="web")
    workloads = deployed("web", 2)
    replacements = Replacements(Settings(), Clock())
    replacements.evicting(evicted, ClusterState(NOW + timedelta(seconds=0.7), {}, [evicted, other], workloads))
    waiting = pod("web-2", WEB, on="", ready=None, created=0.0, phase="Pending", app="web")
    later = ClusterState(NOW + timedelta(seconds=70), {}, [other, waiting], workloads)
    held, stopped = replacements.pending(later), replacements.trouble(later, EvictionCheck(later, ()))
    assert held is not None
    assert held.reason is Reason.REPLACEMENTS
    assert stopped is not None
    assert stopped.reason is Reason.REPLACEMENT_PENDING


def test_a_pod_that_was_there_long_before_is_no_replacement() -> None:
    evicted, stuck = pod("web-0", WEB, app="web"), pod("web-1", WEB, on="", ready=None, phase="Pending", app="web")
    workloads = deployed("web", 3)
    replacements = Replacements(Settings(), Clock())
    replacements.evicting(evicted, ClusterState(NOW, {}, [evicted, stuck], workloads))
    later = ClusterState(NOW + timedelta(seconds=70), {}, [stuck], workloads)
    assert replacements.pending(later) is None
