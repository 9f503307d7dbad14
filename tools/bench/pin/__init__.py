"""The cost and speed of binding pods, beside the API server's limit and kube-scheduler: `task bench:pin`.

All contenders bind the same pods (managed by real ReplicaSets, 10 kB each, equally many on each node) through the same
API server, one after the other. Medians count. A round runs forward and back (ceiling, Moorage, kube-scheduler,
Moorage, ceiling). A ratio compares neighbours, because the speed of a virtual machine drifts within minutes:

* **The ceiling**: `tools/bench/binder`, client-go that only binds, with as many requests in flight as Moorage (once
  also 32).
* **kube-scheduler**, without client limits, on empty nodes that are Ready. The pods have neither affinity nor spread
  constraints, which would slow it down.
* **Moorage**: `moorage planner` serves a plan, and `moorage pod-pinner` creates the placeholders. Then a plan that
  names the pods replaces it. Both run from the image, as for users, if it can be built (root, Debian). Otherwise, and
  with `--checkout`, they run from this checkout on its Python (`installation`). The table names which.

All contenders use the same ServiceAccount, with a token as in pods (`account`). The API server verifies a client
certificate on every request, and a certificate from OpenSSL costs it most. No program in a pod uses one.

Speed: **the API server's audit log** has the times of request and answer for each binding, the same way for all and
without cost for any. The ceiling and kube-scheduler count from the first request to the last answer, without their
start. Moorage counts from the time at which the planner begins to serve the instructions, so the stream, checks and its
own writes are included. Its writes after the last binding (status, Events) are part of its CPU.

**Latency at a steady rate** is measured at the planner: one pod per instruction, from the time at which the instruction
enters the stream to its APPLIED. It includes the stream twice and the whole acknowledgement, so it is more than the
time from receipt to binding inside the pinner. The pinner's own histogram has too coarse buckets for a percentile; the
share of its 250 ms bucket is reported for comparison.

**Memory** is the peak resident size (VmHWM). Between measurements all objects are removed from etcd and created again,
and each contender is a new process.
"""
