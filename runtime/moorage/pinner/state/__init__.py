"""What is known of the cluster, with our own writes on top, and what is intended for each node: stored, or not yet."""
