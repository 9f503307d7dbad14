"""Why an instruction, or one of its pods, was not carried out: one enumeration for protocol, logs, Events and docs."""

from __future__ import annotations

import enum
from typing import NamedTuple


class _Meaning(NamedTuple):
    """The meaning of one code. Its number on the wire never changes."""

    number: int
    sentence: str
    when: str
    advice: str


class ReasonCode(enum.Enum):
    """A reason: ``number`` on the wire, ``sentence`` for people, ``when`` and ``advice`` for the reference page."""

    OK = _Meaning(1, "done", "The instruction was accepted or applied.", "Nothing.")
    # The instruction itself
    UNKNOWN_FIELD = _Meaning(
        10,
        "the instruction has a field that this pinner does not know",
        "A newer planner asks for something that would be silently left out.",
        "Update the pinner, or leave the field out.",
    )
    MALFORMED = _Meaning(
        11,
        "the instruction cannot be read",
        "A required field is missing or a value is not of its kind; the sentence names the field.",
        "Repair the planner.",
    )
    TOO_LARGE = _Meaning(
        12,
        "the instruction is larger than the pinner takes",
        "A message, a list or a text is beyond its limit.",
        "Send several smaller instructions.",
    )
    INVALID_NODE_NAME = _Meaning(
        13,
        "the node's name is not a valid name",
        "It is not an RFC 1123 subdomain of at most 253 characters, or too long for its kubelet to register (over 63).",
        "Use the name that the kubelet will register.",
    )
    INVALID_QUANTITY = _Meaning(
        14,
        "a quantity cannot be read, is negative or absurd",
        "Allocatable or requests hold something that no machine has.",
        "Correct the quantity that the sentence names.",
    )
    INVALID_METADATA = _Meaning(
        15,
        "a label, taint or provider id is not valid",
        "The API server would refuse the Node.",
        "Correct the key or value that the sentence names.",
    )
    DEADLINE_PASSED = _Meaning(
        16,
        "the deadline has passed",
        "The instruction came late, or could not be finished in time; the sentence says what was waited for.",
        "Issue a new instruction if it is still wanted.",
    )
    STALE_EPOCH = _Meaning(
        17,
        "the instruction is of an epoch that has been replaced",
        "An older planner, or an older plan, is still speaking.",
        "Stop the older planner; the newer one has its instructions carried out.",
    )
    ID_REUSED = _Meaning(
        18,
        "the instruction's id was used for another action",
        "Two actions share an idempotency key.",
        "Give every action an id of its own.",
    )
    SUPERSEDED = _Meaning(
        19,
        "a later instruction for the node replaced this one",
        "The node was released, deleted or promised anew meanwhile.",
        "Nothing.",
    )
    # The node
    DUPLICATE_NODE = _Meaning(
        30,
        "the node is promised already, and differently",
        "Another instruction has promised a node of this name with other properties, or the same instance under another"
        " name.",
        "Delete that placeholder first, or use another name or provider id.",
    )
    NODE_IS_REAL = _Meaning(
        31,
        "a real node has this name",
        "A kubelet has reported for the node, and it was not promised by this planner.",
        "Use pins on the running node instead of a placeholder.",
    )
    NODE_FOREIGN = _Meaning(
        32,
        "a Node of this name exists and is not ours",
        "Somebody else created a Node without a kubelet.",
        "Delete that Node if it is a leftover, or use another name.",
    )
    KARPENTER_NODE = _Meaning(
        33,
        "the node belongs to a Karpenter NodeClaim",
        "Karpenter's nodes must register their own startup taint; a placeholder would hide that.",
        "Promise it with profile late, or leave it to Karpenter.",
    )
    PROVIDER_ID_NEEDED = _Meaning(
        34,
        "the provider deletes nodes without a known instance",
        "The profile wants a provider id before a placeholder may exist.",
        "Send the instruction once the instance exists, with its provider id.",
    )
    UNKNOWN_PROFILE = _Meaning(
        35,
        "the provider profile is unknown",
        "The promise names a profile that this pinner does not have.",
        "Use one of the profiles that the sentence lists.",
    )
    PLACEHOLDER_MISSING = _Meaning(
        36,
        "node placeholder not found",
        "There is neither a placeholder nor a node of this name to pin to.",
        "Send CreatePlaceholder first, or again.",
    )
    PLACEHOLDER_REMOVED = _Meaning(
        37,
        "somebody else deleted the placeholder",
        "A cloud controller or a person removed the Node before it joined.",
        "Use the profile of the cloud, with a provider id; then issue the plan again.",
    )
    NODE_FAILED = _Meaning(
        38,
        "the node did not come",
        "It did not join, or did not become Ready, before the deadline.",
        "Look at the instance; plan the pods anew.",
    )
    NODE_SMALLER = _Meaning(
        39,
        "the node joined with less than promised",
        "Allocatable, labels or taints of the real node differ from the promise.",
        "Correct the promise for this kind of machine.",
    )
    NODE_FULL = _Meaning(
        40,
        "the node has no room left",
        "Pods on the node, DaemonSets to come included, use what was promised.",
        "Plan fewer pods for the node, or a larger node.",
    )
    NEW_ZONE = _Meaning(
        41,
        "the node would be the first of its zone",
        "No real node has the promised zone or region, so the placeholder would be an empty domain for the pods of "
        "others that are spread over zones.",
        "Correct the label, or set allowNewZone for the node.",
    )
    NODE_TERMINATING = _Meaning(
        42,
        "the node is being deleted",
        "Somebody has deleted the Node, and finalizers of others hold it; what is pinned there is lost.",
        "Plan the pods elsewhere; promise a node of this name once the Node is gone.",
    )
    NODE_RENAMED = _Meaning(
        43,
        "the machine registered under another name",
        "A Node of another name has the promise's provider id: the machine will never take the placeholder over.",
        "Promise the name that the kubelet registers, or use profile late.",
    )
    # The pod
    POD_NOT_FOUND = _Meaning(50, "there is no such pod", "The pod is gone, or was never there.", "Plan anew.")
    POD_UID_CHANGED = _Meaning(
        51, "another pod has the name now", "The pod was replaced after it was planned.", "Plan the new pod."
    )
    POD_BOUND_ELSEWHERE = _Meaning(
        52,
        "the pod is bound to another node",
        "The scheduler, or another planner, was faster.",
        "Plan without the pod.",
    )
    POD_TERMINATING = _Meaning(53, "the pod is being deleted", "It will not run again.", "Plan its replacement.")
    POD_FINISHED = _Meaning(54, "the pod has ended", "Its phase is Succeeded or Failed.", "Plan its replacement.")
    POD_UNMANAGED = _Meaning(
        55,
        "the pod has no controller that would create it again",
        "A bare pod, or one of an unknown controller, would be lost if its node failed.",
        "Leave the pod to the scheduler.",
    )
    POD_JOB = _Meaning(
        56,
        "the pod belongs to a Job that counts its loss as a failure",
        "Deleting a bound pod of such a Job may fail the Job.",
        "Leave it to the scheduler, or give the Job a failure policy that ignores DisruptionTarget.",
    )
    POD_DAEMON = _Meaning(
        57,
        "the pod belongs to a DaemonSet",
        "Its node is chosen by the DaemonSet controller.",
        "Leave DaemonSets out of the plan.",
    )
    POD_OTHER_SCHEDULER = _Meaning(
        58, "the pod names another scheduler", "That scheduler's rules are not known here.", "Leave the pod to it."
    )
    POD_GATED = _Meaning(
        59,
        "the pod has scheduling gates",
        "Somebody holds the pod back; it cannot be bound.",
        "Wait until the gates are removed.",
    )
    POD_NOMINATED = _Meaning(
        60,
        "the pod is nominated to a node",
        "REJECTED: not by this pinner, for example because others are preempted for it. APPLIED: by this pinner, and "
        "the scheduler has placed it there.",
        "Where it is rejected, plan without the pod.",
    )
    POD_GANG = _Meaning(
        61,
        "the pod is part of a gang",
        "Its pods must be placed all at once or not at all.",
        "Leave gangs to the scheduler that knows them.",
    )
    POD_CHANGED = _Meaning(
        62,
        "the pod was changed and no longer fits where it is bound",
        "A later webhook or a kubelet refused what had been checked; the pod was deleted and is not pinned again.",
        "Plan its replacement as it is now.",
    )
    DOES_NOT_FIT = _Meaning(
        63,
        "the pod does not fit the node as promised",
        "The scheduler's own rules say no; the sentence lists each of them.",
        "Correct the promise, or plan the pod elsewhere.",
    )
    SOFT_PIN_UNSUPPORTED = _Meaning(
        64,
        "the pod needs what only the running node can offer",
        "Extended resources, resource claims or unbound volumes of a pod that cannot be nominated, or came after the "
        "node was opened to the scheduler.",
        "Leave the pod to the scheduler.",
    )
    TAINT_WOULD_EVICT = _Meaning(
        65,
        "a NoExecute taint of the promise would remove the pod at once",
        "A pinned pod does not tolerate it.",
        "Make it a startup taint, or add the toleration.",
    )
    OWNER_CAPPED = _Meaning(
        66,
        "pods of this controller were pinned in vain too often",
        "Pinned pods of it ended three times within ten minutes, and others came in their place, whoever ended them.",
        "Find out who ends them: the sentence says how the last one ended. Its pods are pinned again after an hour.",
    )
    NOMINATION_LOST = _Meaning(
        67,
        "the scheduler did not place the pod on the node it was nominated to",
        "It tried and failed each time; what is asked of the node may have been taken by others.",
        "Leave the pod to the scheduler, or plan it anew.",
    )
    # The API server and the pinner
    API_UNAVAILABLE = _Meaning(
        80,
        "the API server could not be reached in time",
        "It was away until the deadline.",
        "Issue the instruction again when it is back.",
    )
    API_REFUSED = _Meaning(
        81,
        "the API server refused the change",
        "RBAC, an admission policy or validation said no; the sentence quotes it.",
        "Grant the right or change the policy.",
    )
    STOPPED = _Meaning(
        82,
        "the pinner no longer leads",
        "Another replica has taken over before the instruction was accepted.",
        "Nothing: it is sent to the new leader.",
    )
    DRY_RUN = _Meaning(
        83,
        "nothing was changed, because the pinner is in dry run",
        "The pinner judges instructions and writes nothing; the sentence says what would have been done.",
        "Start the pinner without dry run to have it done.",
    )
    INTERNAL = _Meaning(
        99,
        "internal error of the pinner",
        "A defect; the pinner's log has the particulars under the instruction's id.",
        "Report it.",
    )

    @property
    def number(self) -> int:
        """Number on the wire."""
        return self.value.number

    @property
    def sentence(self) -> str:
        """The sentence for people."""
        return self.value.sentence

    @property
    def when(self) -> str:
        """When the reason is given."""
        return self.value.when

    @property
    def advice(self) -> str:
        """What the planner or its user can do."""
        return self.value.advice
