"""The evictor's demo: a report on a cluster at 40 % use, then real drains in which every workload keeps its floor."""
