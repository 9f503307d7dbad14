"""How soon another replica of the pod pinner goes on after its leader was killed or ended, and what is lost on the way.

* **Kills**: kill -9 of the leader within a second after a Deployment was created whose pods are expected.
* **Hand-overs**: SIGTERM of the leader while half of the expected pods have come. It counts until the other replica
  holds the Lease, has the leader's label on its pod, and a pod is pinned as it is created, one after the other.
* **All killed**: both replicas by kill -9 while pods are expected, so that the API server goes on asking. Pods are
  created at a steady rate, in turns with such about which it asks nobody: they carry the label that it passes over.
"""
