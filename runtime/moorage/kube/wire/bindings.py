"""Writes a v1 Binding in protobuf: what each pin asks of the API server. No I/O.

In JSON the server would parse it twice, for its kind and then strictly, which is a thirtieth of its CPU while pods are
pinned (docs/benchmarks-notes.md). client-go writes built-in kinds in protobuf, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._generated import kubernetes_pb2 as pb
from .envelope import wrap


def binding(name: str, *, uid: str, node: str, annotations: Mapping[str, str]) -> bytes:
    """A Binding in its envelope. Nothing is in it that need not be: the server works through each field several times.

    It takes the namespace from the request's path (EnsureObjectNamespaceMatchesRequestNamespace in
    apiserver/pkg/registry/rest/meta.go).

    Args:
        name: the pod's name.
        uid: the pod that is meant.
        node: the node's name.
        annotations: marks for the pod.
    """
    message = pb.Binding()  # filled in place: messages made of messages are copied, which takes twice as long
    metadata, target = message.metadata, message.target
    metadata.name, metadata.uid = name, uid
    for key, value in annotations.items():
        mark = metadata.annotations.add()
        mark.key, mark.value = key, value
    target.kind, target.name = "Node", node
    return wrap(message.SerializeToString(), "v1", "Binding")
