"""The evictor's demo: a report on a cluster at 40 % use, then the nodes really go, and no workload falls below its floor."""
