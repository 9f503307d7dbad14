"""Development tools: the Go toolchain, the local cluster, the demos and the benchmarks. Not part of a release."""
