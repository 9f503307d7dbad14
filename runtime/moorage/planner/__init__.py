"""The planner: serves pinning instructions, from a plan file first, to any number of pod pinners."""
