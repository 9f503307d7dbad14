"""Where all objects of a cluster come from: caches, an API server asked once, or what kubectl has written to files."""
