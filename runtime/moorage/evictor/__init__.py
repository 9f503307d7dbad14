"""The evictor: it empties nodes whose pods fit on other nodes."""
