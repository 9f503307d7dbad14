"""Provider profiles: when a placeholder may exist, and what it must carry so that the cloud's controllers leave it be.

Cloud controllers look every few seconds for Nodes without a Ready condition and ask their cloud whether the instance
exists (cloud-provider/controllers/nodelifecycle); what follows differs by provider. Upstream sources are named below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage.objects import Taint
from moorage.protocol import Promise, ReasonCode, validate
from moorage.reservations import LATE

from .names import KARPENTER_PREFIX, UNINITIALIZED
from .refusal import Refusal

UNINITIALIZED_TAINT = Taint(key=UNINITIALIZED, value="true", effect="NoSchedule")


@dataclass(frozen=True, slots=True)
class Profile:
    """What one provider asks for.

    Attributes:
        name: as it stands in promises and settings.
        provider_id: what a provider id looks like; None when nodes need none.
        example: such an id, for messages.
        cloud_controller: whether a cloud controller initialises nodes, and therefore waits for its taint.
        labels: labels that only a placeholder carries.
        named_after_instance: whether the provider id ends with the node's name.
        late: whether no placeholder is made, because the machine brings its own Node.
    """

    name: str
    provider_id: re.Pattern[str] | None = None
    example: str = ""
    cloud_controller: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    named_after_instance: bool = False
    late: bool = False

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Taints that only a placeholder carries."""
        return (UNINITIALIZED_TAINT,) if self.cloud_controller else ()


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        # No cloud controller is known: nobody asks whether a machine exists.
        Profile("generic"),
        # cloud-provider-aws, instances: a Node whose instance does not exist is deleted.
        Profile(
            "aws",
            provider_id=re.compile(r"aws:///[a-z0-9-]*/(i-[0-9a-f]{8,17}|fargate-[a-z0-9.-]+)"),
            example="aws:///eu-central-1a/i-0123456789abcdef0",
            cloud_controller=True,
        ),
        # cloud-provider-gcp, gce_instances.go: looked up by name, so both must agree.
        Profile(
            "gcp",
            provider_id=re.compile(r"gce://[a-z0-9:.-]+/[a-z0-9-]+/[a-z0-9-]+"),
            example="gce://project/europe-west3-a/node-name",
            cloud_controller=True,
            named_after_instance=True,
        ),
        # cloud-provider-azure, azure_instances.go: a Node labelled as unmanaged is never asked about.
        Profile(
            "azure",
            provider_id=re.compile(r"azure:///subscriptions/[^\s/]+/resourceGroups/[^\s/]+/\S+", re.IGNORECASE),
            example="azure:///subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/virtualMachines/name",
            cloud_controller=True,
            labels={"kubernetes.azure.com/managed": "false"},
        ),
        # Karpenter, GKE, AKS, cluster-autoscaler: whoever makes the machine makes the Node, under a name of its own.
        Profile(LATE, late=True),
    )
}


def choose(name: str, default: str) -> Profile | Refusal:
    """The profile of a promise, or why there is none.

    Args:
        name: as the promise says; empty means the default.
        default: the pinner's own.
    """
    wanted = name or default
    if wanted == "karpenter":
        return Refusal(ReasonCode.KARPENTER_NODE)
    profile = PROFILES.get(wanted)
    if profile is None:
        return Refusal(
            ReasonCode.UNKNOWN_PROFILE, f"the provider profile {wanted!r} is not known (known: {', '.join(PROFILES)})"
        )
    return profile


def refuse(promise: Promise, profile: Profile) -> Refusal | None:
    """Why nothing may be promised like this, or no placeholder exist for it yet; or None."""
    if sentence := validate.selection_problem(promise, profile.name):
        return Refusal(ReasonCode.INVALID_METADATA, sentence)
    if profile.late:
        return None
    if sentence := validate.registration_problem(promise.name, promise.labels):
        return Refusal(ReasonCode.INVALID_NODE_NAME, f"the node's name {sentence}")
    keys = [*promise.labels, *(taint.key for taint in (*promise.taints, *promise.startup_taints))]
    karpenters = next((key for key in keys if key.startswith(KARPENTER_PREFIX)), None)
    if karpenters is not None:
        text = f"the node belongs to a Karpenter NodeClaim, it carries {karpenters}: promise it with profile {LATE}"
        return Refusal(ReasonCode.KARPENTER_NODE, text)
    if profile.provider_id is None:
        return None
    given = promise.provider_id
    if not given:
        return Refusal(
            ReasonCode.PROVIDER_ID_NEEDED,
            f"profile {profile.name}: its cloud controller deletes nodes whose instance is not known; "
            f"send the instruction once there is a provider id (like {profile.example})",
        )
    if profile.provider_id.fullmatch(given) is None:
        return Refusal(
            ReasonCode.INVALID_METADATA, f"provider id {given!r} is none of {profile.name} (example: {profile.example})"
        )
    if profile.named_after_instance and given.rpartition("/")[2] != promise.name:
        return Refusal(
            ReasonCode.INVALID_METADATA,
            f"provider id {given!r} names another instance than the node {promise.name}: "
            f"{profile.name} looks nodes up by name",
        )
    return None
