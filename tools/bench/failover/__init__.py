"""How soon another replica of the pod pinner goes on after kill -9 of the leader, and what is lost on the way."""
