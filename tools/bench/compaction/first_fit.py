"""First-fit-decreasing as most programs do it: the emptiest node first, its largest pods, the first node that fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moorage.evictor.candidates import NodeVerdict, Stance
from moorage.objects import Pod
from moorage.scheduling import Snapshot
from moorage.scheduling.requests import placed


def compact(snapshot: Snapshot, pods: Iterable[Pod], verdicts: Mapping[str, NodeVerdict]) -> list[str]:
    """The nodes that it empties. The snapshot is unchanged afterwards.

    Args:
        snapshot: the cluster.
        pods: all of its pods.
        verdicts: the nodes that may be emptied.
    """
    size = {pod.key: placed(pod) for pod in pods}
    known = {pod.key: pod for pod in pods}
    whole = {
        name: sum(sum(request.values()) for request in (size[key] for key in snapshot.pods_on(name)))
        for name in verdicts
    }
    gone: list[str] = []
    filled: set[str] = set()
    with snapshot.trial():
        for name in sorted(
            (name for name, verdict in verdicts.items() if verdict.may_go), key=lambda name: whole[name]
        ):
            if name in filled:
                continue
            moving = [known[each.key] for each in verdicts[name].pods if each.stance is Stance.MOVES]
            moving.sort(key=lambda pod: (-sum(size[pod.key].values()), pod.key))
            barred = snapshot.slots_of([*gone, name])
            mark = snapshot.mark()
            taken = []
            for pod in moving:
                node = snapshot.first_fit(pod, as_replacement=True, barred=barred)
                if node is None:
                    snapshot.rollback(mark)
                    break
                snapshot.move(pod.key, node)
                taken.append(node)
            else:
                snapshot.release(mark)
                gone.append(name)
                filled.update(taken)
    return gone
