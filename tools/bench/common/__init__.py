"""The parts that benchmarks on a real API server share: its objects, and how they are created."""
