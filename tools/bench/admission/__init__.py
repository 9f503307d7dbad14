"""What the webhook costs whoever creates pods: `task bench:admission`.

The same pods (two containers, 4 kB as they are posted, owned by ReplicaSets) are created in one API server, 32 at a
time, in this order in each round, and removed again after each:

* **none**: no mutating webhook at all; before and after the others, and their mean counts;
* **idle**: `moorage pod-pinner` leads, its placeholders are there, and no pod is expected: its configuration is empty;
* **pinning**: every pod is expected on one of 60 placeholders, and is pinned while it is created;
* **trivial**: the least that a Python webhook can do for the same (`trivial`): aiohttp, `json`, and the next node's
  name. It decides nothing, knows nothing, and is registered exactly as ours is.

Ratios are of the rates within one round. Nobody schedules and no controller runs; what the pinner still writes (pins
written down, Events) is done meanwhile, and counts. The pinner is run from this checkout, on the same Python as the
trivial webhook.

**Latency** is taken at a steady rate, while pods are pinned: slices in which the webhook is asked about every pod
alternate with slices in which it is asked about none, because the pods carry the label that it passes over. Latency
runs from the moment a creation is due to its answer. What is reported is the difference of the percentiles of both.
A failed call is silent for whoever creates the pod (`failurePolicy: Ignore`), so the API server's own count is read.
"""
