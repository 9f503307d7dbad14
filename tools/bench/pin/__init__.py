"""What binding pods to nodes costs and how fast it goes, beside the ceiling and kube-scheduler: `task bench:pin`.

All contenders bind the same pods (managed by real ReplicaSets, 10 kB each, as many on each node) through the same API
server, one after the other; medians count. A round goes there and back (ceiling, Moorage, kube-scheduler, Moorage,
ceiling), and a ratio is of what was measured side by side, because the speed of a virtual machine drifts in minutes:

* **The ceiling**: `tools/bench/binder`, client-go that only binds, as many in flight as Moorage (once also 32).
* **kube-scheduler**, its client limits lifted, on empty nodes that are Ready. The pods have neither affinity nor spread
  constraints of their own, which would slow it down.
* **Moorage**: `moorage planner` serves a plan, `moorage pod-pinner` makes the placeholders; then the plan is replaced
  by one that names the pods. Both are run from the image, as users run them, where it can be built (root, Debian);
  else, and with `--checkout`, from this checkout on whatever Python there is (`installation`). The table says which.

All of them are the same ServiceAccount, with a token as pods have it (`account`): a client certificate, which no
program in a pod uses, is verified by the API server on every request, and costs it most when OpenSSL sent it.

How fast: **the API server's audit log** tells for each binding when it was asked for and answered, the same way for all
and at no cost to any. The ceiling and kube-scheduler count from the first request to the last answer, so that starting
up is not held against them; Moorage counts from the moment the planner began to serve the instructions, so that stream,
checks and the writes of its own are. What Moorage still writes after the last binding (status, Events) is in its CPU.

**Latency at a steady rate** is taken where the instructions come from: one pod per instruction, from the moment it is
handed to the stream to the moment its APPLIED has come back. It contains the stream twice and the whole
acknowledgement, so it is more than "received to bound" inside the pinner, whose own histogram has too coarse buckets
for a percentile; the share of its 250 ms bucket is reported to compare.

**Memory** is the most that was resident (VmHWM). Between measurements everything is removed from etcd and put there
anew, and each contender is a new process.
"""
