"""The evictor's demo: a report on a cluster at 40 % use; then nodes really go, and no workload notices."""
