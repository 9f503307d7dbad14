"""Sources of a cluster's objects: watch caches, lists of an API server, or files that kubectl has written."""
