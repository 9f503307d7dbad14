"""Development tools: the Go toolchain, the local cluster, the demo and the benchmarks. Never part of a release."""
