"""Files that users write: YAML with the location of every value, and mistakes in plain words."""

CHARTS = ("castai-pod-pinner", "moorage-planner", "castai-evictor")
"""The charts whose values have a schema."""

UMBRELLA = "moorage"
"""The chart that has them as its parts: its values are theirs, below their names."""
