"""The cluster in a service: caches, own writes on top of them, the snapshot for the fit check, DaemonSet pods."""
