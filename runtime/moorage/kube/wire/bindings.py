"""Encodes a v1 Binding in protobuf. No I/O.

The server parses a JSON body twice, first for its kind and then strictly. That is a thirtieth of its CPU while pods are
pinned (docs/benchmarks-notes.md). client-go writes built-in kinds in protobuf, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._generated import kubernetes_pb2 as pb
from .envelope import wrap


def binding(name: str, *, uid: str, node: str, annotations: Mapping[str, str]) -> bytes:
    """A Binding in its envelope. It has no unneeded fields, because the server processes each field several times.

    The server takes the namespace from the request path (EnsureObjectNamespaceMatchesRequestNamespace in
    apiserver/pkg/registry/rest/meta.go).

    Args:
        name: the pod's name.
        uid: the pod's uid.
        node: the node's name.
        annotations: are added to the pod.
    """
    message = pb.Binding()
    # Fields are set in place: a message as an argument would be copied, which takes twice as long.
    metadata, target = message.metadata, message.target
    metadata.name, metadata.uid = name, uid
    for key, value in annotations.items():
        mark = metadata.annotations.add()
        mark.key, mark.value = key, value
    target.kind, target.name = "Node", node
    return wrap(message.SerializeToString(), "v1", "Binding")
