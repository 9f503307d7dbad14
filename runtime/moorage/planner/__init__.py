"""The planner: serves pinning instructions, for example those of a plan file, to any number of pod pinners."""
