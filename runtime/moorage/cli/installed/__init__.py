"""What is installed in a cluster, and how it stands: what is read, and what is made of it."""
