"""What every service needs that writes: one leader and its terms, a work queue, a gate for writes, certificates."""
