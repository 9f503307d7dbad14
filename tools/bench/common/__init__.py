"""What the benchmarks against a real API server share: what it holds, and how that gets into it."""
