"""What becomes of a node and of the pods for it: what is known, and what is to be done. Pure."""
