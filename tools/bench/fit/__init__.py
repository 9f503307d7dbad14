"""The fit benchmark: cumulative packing by `moorage.scheduling` and by kube-scheduler's own plugins, same data."""
