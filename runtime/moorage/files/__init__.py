"""Files that people write: YAML with the place of every value, and what is wrong with it in a person's words."""

CHARTS = ("castai-pod-pinner", "moorage-planner", "castai-evictor")
"""The charts whose values have a schema."""
