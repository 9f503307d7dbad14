"""Benchmarks: each measures one figure of docs/benchmarks.md and writes it below build/bench/."""
