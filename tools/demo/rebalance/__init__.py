"""The rebalancing's demo: twelve nodes are replaced by five, a leader is killed on the way, and no workload notices."""
