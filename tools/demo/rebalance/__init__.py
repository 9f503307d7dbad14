"""The rebalancing demo: five nodes replace twelve, a leader is killed meanwhile, and every workload keeps its floor."""
