"""Seeded clusters to compact, with what is known about how far that can go."""
