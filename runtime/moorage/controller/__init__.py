"""The parts of a service that writes: leader election and terms, work queue, write gate, certificates."""
