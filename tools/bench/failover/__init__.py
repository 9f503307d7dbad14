"""How soon another replica of the pod pinner takes over after its leader is killed or ended, and what is lost.

* **Kills**: kill -9 of the leader within a second after the creation of a Deployment with expected pods.
* **Hand-overs**: SIGTERM of the leader when half of the expected pods exist. Three times count, one after the other:
  the other replica holds the Lease, has the leader's label on its pod, and pins a pod while it is created.
* **All killed**: kill -9 of both replicas while pods are expected, so the API server continues to call the webhook.
  Pods are created at a steady rate, in turns with pods with a label that the webhook's configuration excludes.
"""
