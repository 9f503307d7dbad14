"""What every service knows of the cluster: caches, own writes on top, the snapshot for the fit check, DaemonSets."""
