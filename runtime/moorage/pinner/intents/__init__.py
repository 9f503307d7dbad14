"""What is intended for each node: as its reservation stores it, and what is not stored yet."""
