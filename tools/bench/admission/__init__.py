"""The cost of the webhook for clients that create pods: `task bench:admission`.

The same pods (two containers, 4 kB as they are posted, owned by ReplicaSets) are created in one API server, 32 at a
time. The order in each round is as follows. After each contender the pods are removed.

* **none**: no mutating webhook. It runs before and after the others, and its mean counts.
* **idle**: `moorage pod-pinner` leads, its placeholders exist, and no pod is expected. Its configuration is empty.
* **pinning**: every pod is expected on one of 60 placeholders, and is pinned while it is created.
* **trivial**: the smallest Python webhook for the same answer (`trivial`): aiohttp, `json`, and the next node's name.
  It decides nothing, and its registration is the same as the pinner's.

Ratios are of the rates within one round. No scheduler and no controller runs. The pinner's other writes (recorded pins,
Events) happen meanwhile and count. The pinner runs from this checkout, on the same Python as the trivial webhook.

**Latency** is measured at a steady rate, while pods are pinned. Slices with pods that the webhook is called for
alternate with slices of pods with a label that its configuration excludes. Latency runs from the time at which a
creation is due to its answer. The figure is the difference of the percentiles of both. A failed call does not fail the
creation of the pod (`failurePolicy: Ignore`), so the API server's own count of failed calls is read.
"""
