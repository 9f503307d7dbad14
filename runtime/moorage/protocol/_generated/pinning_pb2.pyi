import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Webhook(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEBHOOK_UNSPECIFIED: _ClassVar[Webhook]
    WEBHOOK_IDLE: _ClassVar[Webhook]
    WEBHOOK_SERVING: _ClassVar[Webhook]

class NodeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATE_UNSPECIFIED: _ClassVar[NodeState]
    NODE_STATE_PENDING: _ClassVar[NodeState]
    NODE_STATE_PLACEHOLDER: _ClassVar[NodeState]
    NODE_STATE_JOINING: _ClassVar[NodeState]
    NODE_STATE_PREPARING: _ClassVar[NodeState]
    NODE_STATE_READY: _ClassVar[NodeState]
    NODE_STATE_FOREIGN: _ClassVar[NodeState]
    NODE_STATE_FAILING: _ClassVar[NodeState]
    NODE_STATE_STOPPED: _ClassVar[NodeState]
    NODE_STATE_GONE: _ClassVar[NodeState]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_ACCEPTED: _ClassVar[Outcome]
    OUTCOME_APPLIED: _ClassVar[Outcome]
    OUTCOME_REJECTED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]

class BindWhen(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BIND_WHEN_UNSPECIFIED: _ClassVar[BindWhen]
    BIND_WHEN_IMMEDIATELY: _ClassVar[BindWhen]
    BIND_WHEN_STARTUP_TAINTS_GONE: _ClassVar[BindWhen]

class ReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_CODE_UNSPECIFIED: _ClassVar[ReasonCode]
    REASON_CODE_OK: _ClassVar[ReasonCode]
    REASON_CODE_UNKNOWN_FIELD: _ClassVar[ReasonCode]
    REASON_CODE_MALFORMED: _ClassVar[ReasonCode]
    REASON_CODE_TOO_LARGE: _ClassVar[ReasonCode]
    REASON_CODE_INVALID_NODE_NAME: _ClassVar[ReasonCode]
    REASON_CODE_INVALID_QUANTITY: _ClassVar[ReasonCode]
    REASON_CODE_INVALID_METADATA: _ClassVar[ReasonCode]
    REASON_CODE_DEADLINE_PASSED: _ClassVar[ReasonCode]
    REASON_CODE_STALE_EPOCH: _ClassVar[ReasonCode]
    REASON_CODE_ID_REUSED: _ClassVar[ReasonCode]
    REASON_CODE_SUPERSEDED: _ClassVar[ReasonCode]
    REASON_CODE_DUPLICATE_NODE: _ClassVar[ReasonCode]
    REASON_CODE_NODE_IS_REAL: _ClassVar[ReasonCode]
    REASON_CODE_NODE_FOREIGN: _ClassVar[ReasonCode]
    REASON_CODE_KARPENTER_NODE: _ClassVar[ReasonCode]
    REASON_CODE_PROVIDER_ID_NEEDED: _ClassVar[ReasonCode]
    REASON_CODE_UNKNOWN_PROFILE: _ClassVar[ReasonCode]
    REASON_CODE_PLACEHOLDER_MISSING: _ClassVar[ReasonCode]
    REASON_CODE_PLACEHOLDER_REMOVED: _ClassVar[ReasonCode]
    REASON_CODE_NODE_FAILED: _ClassVar[ReasonCode]
    REASON_CODE_NODE_SMALLER: _ClassVar[ReasonCode]
    REASON_CODE_NODE_FULL: _ClassVar[ReasonCode]
    REASON_CODE_NEW_ZONE: _ClassVar[ReasonCode]
    REASON_CODE_NODE_TERMINATING: _ClassVar[ReasonCode]
    REASON_CODE_NODE_RENAMED: _ClassVar[ReasonCode]
    REASON_CODE_POD_NOT_FOUND: _ClassVar[ReasonCode]
    REASON_CODE_POD_UID_CHANGED: _ClassVar[ReasonCode]
    REASON_CODE_POD_BOUND_ELSEWHERE: _ClassVar[ReasonCode]
    REASON_CODE_POD_TERMINATING: _ClassVar[ReasonCode]
    REASON_CODE_POD_FINISHED: _ClassVar[ReasonCode]
    REASON_CODE_POD_UNMANAGED: _ClassVar[ReasonCode]
    REASON_CODE_POD_JOB: _ClassVar[ReasonCode]
    REASON_CODE_POD_DAEMON: _ClassVar[ReasonCode]
    REASON_CODE_POD_OTHER_SCHEDULER: _ClassVar[ReasonCode]
    REASON_CODE_POD_GATED: _ClassVar[ReasonCode]
    REASON_CODE_POD_NOMINATED: _ClassVar[ReasonCode]
    REASON_CODE_POD_GANG: _ClassVar[ReasonCode]
    REASON_CODE_POD_CHANGED: _ClassVar[ReasonCode]
    REASON_CODE_DOES_NOT_FIT: _ClassVar[ReasonCode]
    REASON_CODE_SOFT_PIN_UNSUPPORTED: _ClassVar[ReasonCode]
    REASON_CODE_TAINT_WOULD_EVICT: _ClassVar[ReasonCode]
    REASON_CODE_OWNER_CAPPED: _ClassVar[ReasonCode]
    REASON_CODE_NOMINATION_LOST: _ClassVar[ReasonCode]
    REASON_CODE_API_UNAVAILABLE: _ClassVar[ReasonCode]
    REASON_CODE_API_REFUSED: _ClassVar[ReasonCode]
    REASON_CODE_STOPPED: _ClassVar[ReasonCode]
    REASON_CODE_DRY_RUN: _ClassVar[ReasonCode]
    REASON_CODE_INTERNAL: _ClassVar[ReasonCode]
WEBHOOK_UNSPECIFIED: Webhook
WEBHOOK_IDLE: Webhook
WEBHOOK_SERVING: Webhook
NODE_STATE_UNSPECIFIED: NodeState
NODE_STATE_PENDING: NodeState
NODE_STATE_PLACEHOLDER: NodeState
NODE_STATE_JOINING: NodeState
NODE_STATE_PREPARING: NodeState
NODE_STATE_READY: NodeState
NODE_STATE_FOREIGN: NodeState
NODE_STATE_FAILING: NodeState
NODE_STATE_STOPPED: NodeState
NODE_STATE_GONE: NodeState
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_ACCEPTED: Outcome
OUTCOME_APPLIED: Outcome
OUTCOME_REJECTED: Outcome
OUTCOME_FAILED: Outcome
BIND_WHEN_UNSPECIFIED: BindWhen
BIND_WHEN_IMMEDIATELY: BindWhen
BIND_WHEN_STARTUP_TAINTS_GONE: BindWhen
REASON_CODE_UNSPECIFIED: ReasonCode
REASON_CODE_OK: ReasonCode
REASON_CODE_UNKNOWN_FIELD: ReasonCode
REASON_CODE_MALFORMED: ReasonCode
REASON_CODE_TOO_LARGE: ReasonCode
REASON_CODE_INVALID_NODE_NAME: ReasonCode
REASON_CODE_INVALID_QUANTITY: ReasonCode
REASON_CODE_INVALID_METADATA: ReasonCode
REASON_CODE_DEADLINE_PASSED: ReasonCode
REASON_CODE_STALE_EPOCH: ReasonCode
REASON_CODE_ID_REUSED: ReasonCode
REASON_CODE_SUPERSEDED: ReasonCode
REASON_CODE_DUPLICATE_NODE: ReasonCode
REASON_CODE_NODE_IS_REAL: ReasonCode
REASON_CODE_NODE_FOREIGN: ReasonCode
REASON_CODE_KARPENTER_NODE: ReasonCode
REASON_CODE_PROVIDER_ID_NEEDED: ReasonCode
REASON_CODE_UNKNOWN_PROFILE: ReasonCode
REASON_CODE_PLACEHOLDER_MISSING: ReasonCode
REASON_CODE_PLACEHOLDER_REMOVED: ReasonCode
REASON_CODE_NODE_FAILED: ReasonCode
REASON_CODE_NODE_SMALLER: ReasonCode
REASON_CODE_NODE_FULL: ReasonCode
REASON_CODE_NEW_ZONE: ReasonCode
REASON_CODE_NODE_TERMINATING: ReasonCode
REASON_CODE_NODE_RENAMED: ReasonCode
REASON_CODE_POD_NOT_FOUND: ReasonCode
REASON_CODE_POD_UID_CHANGED: ReasonCode
REASON_CODE_POD_BOUND_ELSEWHERE: ReasonCode
REASON_CODE_POD_TERMINATING: ReasonCode
REASON_CODE_POD_FINISHED: ReasonCode
REASON_CODE_POD_UNMANAGED: ReasonCode
REASON_CODE_POD_JOB: ReasonCode
REASON_CODE_POD_DAEMON: ReasonCode
REASON_CODE_POD_OTHER_SCHEDULER: ReasonCode
REASON_CODE_POD_GATED: ReasonCode
REASON_CODE_POD_NOMINATED: ReasonCode
REASON_CODE_POD_GANG: ReasonCode
REASON_CODE_POD_CHANGED: ReasonCode
REASON_CODE_DOES_NOT_FIT: ReasonCode
REASON_CODE_SOFT_PIN_UNSUPPORTED: ReasonCode
REASON_CODE_TAINT_WOULD_EVICT: ReasonCode
REASON_CODE_OWNER_CAPPED: ReasonCode
REASON_CODE_NOMINATION_LOST: ReasonCode
REASON_CODE_API_UNAVAILABLE: ReasonCode
REASON_CODE_API_REFUSED: ReasonCode
REASON_CODE_STOPPED: ReasonCode
REASON_CODE_DRY_RUN: ReasonCode
REASON_CODE_INTERNAL: ReasonCode

class StreamRequest(_message.Message):
    __slots__ = ("hello", "acks", "reports")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    acks: Acks
    reports: NodeReports
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping[str, object]]] = ..., acks: _Optional[_Union[Acks, _Mapping[str, object]]] = ..., reports: _Optional[_Union[NodeReports, _Mapping[str, object]]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("welcome", "instruction", "snapshot_end", "heartbeat")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    instruction: Instruction
    snapshot_end: SnapshotEnd
    heartbeat: Heartbeat
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping[str, object]]] = ..., instruction: _Optional[_Union[Instruction, _Mapping[str, object]]] = ..., snapshot_end: _Optional[_Union[SnapshotEnd, _Mapping[str, object]]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping[str, object]]] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("epoch", "sequence")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("cluster_id", "replica", "version", "position", "window", "probe")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    replica: str
    version: str
    position: Position
    window: int
    probe: bool
    def __init__(self, cluster_id: _Optional[str] = ..., replica: _Optional[str] = ..., version: _Optional[str] = ..., position: _Optional[_Union[Position, _Mapping[str, object]]] = ..., window: _Optional[int] = ..., probe: _Optional[bool] = ...) -> None: ...

class Acks(_message.Message):
    __slots__ = ("acks",)
    ACKS_FIELD_NUMBER: _ClassVar[int]
    acks: _containers.RepeatedCompositeFieldContainer[Ack]
    def __init__(self, acks: _Optional[_Iterable[_Union[Ack, _Mapping[str, object]]]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("instruction_id", "position", "outcome", "reason", "sentence", "pods")
    INSTRUCTION_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    instruction_id: str
    position: Position
    outcome: Outcome
    reason: ReasonCode
    sentence: str
    pods: _containers.RepeatedCompositeFieldContainer[PodResult]
    def __init__(self, instruction_id: _Optional[str] = ..., position: _Optional[_Union[Position, _Mapping[str, object]]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[_Union[ReasonCode, str]] = ..., sentence: _Optional[str] = ..., pods: _Optional[_Iterable[_Union[PodResult, _Mapping[str, object]]]] = ...) -> None: ...

class PodResult(_message.Message):
    __slots__ = ("pod", "outcome", "reason", "sentence", "node")
    POD_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    pod: PodRef
    outcome: Outcome
    reason: ReasonCode
    sentence: str
    node: str
    def __init__(self, pod: _Optional[_Union[PodRef, _Mapping[str, object]]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[_Union[ReasonCode, str]] = ..., sentence: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class NodeReports(_message.Message):
    __slots__ = ("reports", "webhook")
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[NodeReport]
    webhook: Webhook
    def __init__(self, reports: _Optional[_Iterable[_Union[NodeReport, _Mapping[str, object]]]] = ..., webhook: _Optional[_Union[Webhook, str]] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("node", "state", "node_uid", "sentence", "shortfalls", "slots", "position")
    NODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NODE_UID_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    SHORTFALLS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    node: str
    state: NodeState
    node_uid: str
    sentence: str
    shortfalls: _containers.RepeatedScalarFieldContainer[str]
    slots: _containers.RepeatedCompositeFieldContainer[SlotReport]
    position: Position
    def __init__(self, node: _Optional[str] = ..., state: _Optional[_Union[NodeState, str]] = ..., node_uid: _Optional[str] = ..., sentence: _Optional[str] = ..., shortfalls: _Optional[_Iterable[str]] = ..., slots: _Optional[_Iterable[_Union[SlotReport, _Mapping[str, object]]]] = ..., position: _Optional[_Union[Position, _Mapping[str, object]]] = ...) -> None: ...

class SlotReport(_message.Message):
    __slots__ = ("owner", "count", "webhook", "binding", "scheduler", "reason")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    owner: Owner
    count: int
    webhook: int
    binding: int
    scheduler: int
    reason: str
    def __init__(self, owner: _Optional[_Union[Owner, _Mapping[str, object]]] = ..., count: _Optional[int] = ..., webhook: _Optional[int] = ..., binding: _Optional[int] = ..., scheduler: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("position", "snapshot", "plan", "heartbeat")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    position: Position
    snapshot: bool
    plan: str
    heartbeat: _duration_pb2.Duration
    def __init__(self, position: _Optional[_Union[Position, _Mapping[str, object]]] = ..., snapshot: _Optional[bool] = ..., plan: _Optional[str] = ..., heartbeat: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class SnapshotEnd(_message.Message):
    __slots__ = ("position", "instructions")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    instructions: int
    def __init__(self, position: _Optional[_Union[Position, _Mapping[str, object]]] = ..., instructions: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("position", "acknowledged")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    position: Position
    acknowledged: int
    def __init__(self, position: _Optional[_Union[Position, _Mapping[str, object]]] = ..., acknowledged: _Optional[int] = ...) -> None: ...

class Instruction(_message.Message):
    __slots__ = ("id", "position", "issued", "deadline", "plan", "create_placeholder", "delete_placeholder", "pin_pods", "expect_pods", "release")
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CREATE_PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
    DELETE_PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
    PIN_PODS_FIELD_NUMBER: _ClassVar[int]
    EXPECT_PODS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    id: str
    position: Position
    issued: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    plan: str
    create_placeholder: CreatePlaceholder
    delete_placeholder: DeletePlaceholder
    pin_pods: PinPods
    expect_pods: ExpectPods
    release: Release
    def __init__(self, id: _Optional[str] = ..., position: _Optional[_Union[Position, _Mapping[str, object]]] = ..., issued: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., plan: _Optional[str] = ..., create_placeholder: _Optional[_Union[CreatePlaceholder, _Mapping[str, object]]] = ..., delete_placeholder: _Optional[_Union[DeletePlaceholder, _Mapping[str, object]]] = ..., pin_pods: _Optional[_Union[PinPods, _Mapping[str, object]]] = ..., expect_pods: _Optional[_Union[ExpectPods, _Mapping[str, object]]] = ..., release: _Optional[_Union[Release, _Mapping[str, object]]] = ...) -> None: ...

class CreatePlaceholder(_message.Message):
    __slots__ = ("promise",)
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    promise: Promise
    def __init__(self, promise: _Optional[_Union[Promise, _Mapping[str, object]]] = ...) -> None: ...

class DeletePlaceholder(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class PinPods(_message.Message):
    __slots__ = ("node", "pods")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    node: str
    pods: _containers.RepeatedCompositeFieldContainer[PodRef]
    def __init__(self, node: _Optional[str] = ..., pods: _Optional[_Iterable[_Union[PodRef, _Mapping[str, object]]]] = ...) -> None: ...

class ExpectPods(_message.Message):
    __slots__ = ("node", "slots")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    node: str
    slots: _containers.RepeatedCompositeFieldContainer[Slot]
    def __init__(self, node: _Optional[str] = ..., slots: _Optional[_Iterable[_Union[Slot, _Mapping[str, object]]]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class Promise(_message.Message):
    __slots__ = ("name", "allocatable", "labels", "taints", "startup_taints", "provider_id", "profile", "node_claim", "match_labels", "allow_new_zone", "bind_when", "static_pods")
    class AllocatableEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MatchLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class StaticPodsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALLOCATABLE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TAINTS_FIELD_NUMBER: _ClassVar[int]
    STARTUP_TAINTS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    NODE_CLAIM_FIELD_NUMBER: _ClassVar[int]
    MATCH_LABELS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_NEW_ZONE_FIELD_NUMBER: _ClassVar[int]
    BIND_WHEN_FIELD_NUMBER: _ClassVar[int]
    STATIC_PODS_FIELD_NUMBER: _ClassVar[int]
    name: str
    allocatable: _containers.ScalarMap[str, str]
    labels: _containers.ScalarMap[str, str]
    taints: _containers.RepeatedCompositeFieldContainer[Taint]
    startup_taints: _containers.RepeatedCompositeFieldContainer[Taint]
    provider_id: str
    profile: str
    node_claim: str
    match_labels: _containers.ScalarMap[str, str]
    allow_new_zone: bool
    bind_when: BindWhen
    static_pods: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., allocatable: _Optional[_Mapping[str, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., taints: _Optional[_Iterable[_Union[Taint, _Mapping[str, object]]]] = ..., startup_taints: _Optional[_Iterable[_Union[Taint, _Mapping[str, object]]]] = ..., provider_id: _Optional[str] = ..., profile: _Optional[str] = ..., node_claim: _Optional[str] = ..., match_labels: _Optional[_Mapping[str, str]] = ..., allow_new_zone: _Optional[bool] = ..., bind_when: _Optional[_Union[BindWhen, str]] = ..., static_pods: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Taint(_message.Message):
    __slots__ = ("key", "value", "effect")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    effect: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., effect: _Optional[str] = ...) -> None: ...

class PodRef(_message.Message):
    __slots__ = ("namespace", "name", "uid")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class Owner(_message.Message):
    __slots__ = ("kind", "namespace", "name", "uid")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    kind: str
    namespace: str
    name: str
    uid: str
    def __init__(self, kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("owner", "requests", "count")
    class RequestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    owner: Owner
    requests: _containers.ScalarMap[str, str]
    count: int
    def __init__(self, owner: _Optional[_Union[Owner, _Mapping[str, object]]] = ..., requests: _Optional[_Mapping[str, str]] = ..., count: _Optional[int] = ...) -> None: ...
