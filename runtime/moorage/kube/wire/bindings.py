"""Writes a v1 Binding in protobuf: what each pin asks of the API server. No I/O.

In JSON the server would parse it twice, for its kind and then strictly, which is a thirtieth of its CPU while pods are
pinned (docs/benchmarks.md). client-go writes built-in kinds in protobuf, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._generated import kubernetes_pb2 as pb
from .envelope import wrap


def binding(name: str, namespace: str, *, uid: str, node: str, annotations: Mapping[str, str]) -> bytes:
    """A Binding in its envelope.

    Args:
        name: the pod's name.
        namespace: the pod's namespace.
        uid: the pod that is meant.
        node: the node's name.
        annotations: marks for the pod.
    """
    marks = [pb.StringEntry(key=key, value=value) for key, value in annotations.items()]
    message = pb.Binding(
        metadata=pb.ObjectMeta(name=name, namespace=namespace, uid=uid, annotations=marks),
        target=pb.ObjectReference(api_version="v1", kind="Node", name=node),
    )
    return wrap(message.SerializeToString(), "v1", "Binding")
