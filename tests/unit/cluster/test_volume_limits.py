"""The names under which a promise says how many volumes a node attaches: what is valid counts, nothing else does."""

from __future__ import annotations

import pytest

from moorage.cluster.volume_limits import limits
from moorage.objects import Node, NodeStatus
from moorage.protocol import validate


@pytest.mark.parametrize(
    ("resource", "driver"),
    [
        ("attachable-volumes-csi-ebs.csi.aws.com", "ebs.csi.aws.com"),
        ("attachable-volumes-csi-x", "x"),
        ("attachable-volumes-aws-ebs", ""),
        ("attachable-volumes-ebs.csi.aws.com", ""),
    ],
)
def test_a_limit_counts_if_the_validation_takes_it(resource: str, driver: str) -> None:
    problems = list(validate.quantity_problems({resource: "25"}, "allocatable"))
    found = limits(Node(status=NodeStatus(allocatable={resource: "25"})))
    assert (not problems, [each.name for each in found]) == (bool(driver), [driver] if driver else [])
