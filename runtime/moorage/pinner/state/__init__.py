"""What is known of the cluster: watch caches with our own writes on top."""
