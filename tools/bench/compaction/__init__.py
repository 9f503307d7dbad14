"""Compacts seeded clusters for which a bound of the best compaction is known."""
