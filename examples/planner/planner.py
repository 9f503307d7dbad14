"""python planner.py NAMESPACE/DEPLOYMENT NODE [LABEL=VALUE …]: promises NODE, and pins pods that wait for one to it."""

import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pinning_pb2 as pb
import pinning_pb2_grpc as rpc
from kubernetes import client, config

ALLOCATABLE = {"cpu": "4", "memory": "8Gi", "pods": "58"}  # what all pods on the node may use together
LABELS = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
LASTING = 480  # seconds within which the node must join
LISTEN = os.environ.get("PLANNER_LISTEN", "127.0.0.1:50051")
BEAT = 5  # seconds between two signs of life; the protocol allows 15
PINGS = [("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000)]  # pinners ping every 30 s, gRPC allows 300
FINAL = (pb.OUTCOME_APPLIED, pb.OUTCOME_REJECTED, pb.OUTCOME_FAILED)
ENDED = (pb.NODE_STATE_READY, pb.NODE_STATE_FOREIGN, pb.NODE_STATE_FAILING, pb.NODE_STATE_GONE)


class Planner(rpc.PinningServiceServicer):
    """Serves instructions for one node as one epoch, and notes what becomes of them."""

    def __init__(self, *actions):
        self.state, self.outcomes, self.over = pb.NODE_STATE_UNSPECIFIED, {}, threading.Event()
        self.epoch = time.time_ns() // 10**6  # milliseconds: a planner that starts again replaces this one
        self.instructions = []
        for number, action in enumerate(actions, 1):
            position = pb.Position(epoch=self.epoch, sequence=number)
            each = pb.Instruction(id=f"{self.epoch}-{number}", position=position, **action)
            each.issued.GetCurrentTime()
            each.deadline.FromSeconds(each.issued.seconds + LASTING)
            self.instructions.append(each)

    def Stream(self, requests, context):  # noqa: D102, N802
        key = os.environ.get("PLANNER_API_KEY")
        if key and dict(context.invocation_metadata()).get("authorization") != f"Bearer {key}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is missing or wrong")
        hello, last = next(requests).hello, self.instructions[-1].position
        if hello.position.epoch > self.epoch:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "a newer planner has served this pinner")
        resume = hello.position.epoch == self.epoch  # it has received everything up to there
        begin = hello.position if resume else pb.Position(epoch=self.epoch)
        yield pb.StreamResponse(welcome={"position": begin, "snapshot": not resume, "heartbeat": {"seconds": BEAT}})
        if hello.probe:  # `moorage check` only looks whether a pinner would be served
            return
        received = []  # answers on this stream: a pinner forgets as many as a heartbeat confirms
        threading.Thread(target=self.listen, args=(requests, received), daemon=True).start()
        due = [each for each in self.instructions[begin.sequence :] if resume or each.id not in self.outcomes]
        yield from (pb.StreamResponse(instruction=each) for each in due)
        if not resume:
            yield pb.StreamResponse(snapshot_end={"position": last, "instructions": len(due)})
        while not self.over.wait(BEAT):
            yield pb.StreamResponse(heartbeat={"position": last, "acknowledged": len(received)})
        context.abort(grpc.StatusCode.UNAVAILABLE, "the planner stops")

    def listen(self, requests, received):  # noqa: D102
        with contextlib.suppress(grpc.RpcError):  # the stream has ended: the pinner connects again
            for request in requests:
                for ack in (each for each in request.acks.acks if each.position.epoch == self.epoch):
                    print(ack)
                    if ack.outcome in FINAL:
                        self.outcomes[ack.instruction_id] = ack.outcome
                for report in (each for each in request.reports.reports if each.position.epoch == self.epoch):
                    print(report)
                    self.state = report.state
                received.extend(request.acks.acks)
                failed = any(outcome != pb.OUTCOME_APPLIED for outcome in self.outcomes.values())
                if len(self.outcomes) == len(self.instructions) and (failed or self.state in ENDED):
                    self.over.set()


namespace, deployment = sys.argv[1].split("/")
node, labels = sys.argv[2], dict(each.split("=", 1) for each in sys.argv[3:])
config.load_config()  # as kubectl, or in a pod as its service account
selector = client.AppsV1Api().read_namespaced_deployment(deployment, namespace).spec.selector.match_labels
which = {"label_selector": ",".join(map("=".join, selector.items())), "field_selector": "spec.nodeName="}
while not (pods := client.CoreV1Api().list_namespaced_pod(namespace, **which).items):
    time.sleep(1)
refs = [pb.PodRef(namespace=namespace, name=each.metadata.name, uid=each.metadata.uid) for each in pods]
promise = pb.Promise(name=node, allocatable=ALLOCATABLE, labels=LABELS | labels)
planner = Planner({"create_placeholder": {"promise": promise}}, {"pin_pods": {"node": node, "pods": refs}})
server = grpc.server(ThreadPoolExecutor(), options=PINGS)
rpc.add_PinningServiceServicer_to_server(planner, server)
if "PLANNER_TLS" in os.environ:  # a folder with tls.key and tls.crt, for pinners on other machines
    pair = tuple(Path(os.environ["PLANNER_TLS"], name).read_bytes() for name in ("tls.key", "tls.crt"))
    server.add_secure_port(LISTEN, grpc.ssl_server_credentials([pair]))
else:
    server.add_insecure_port(LISTEN)
server.start()
planner.over.wait(LASTING)
server.stop(grace=1).wait()
applied = set(planner.outcomes.values()) == {pb.OUTCOME_APPLIED}
sys.exit(0 if applied and planner.state == pb.NODE_STATE_READY else 1)
