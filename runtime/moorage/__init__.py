"""An open, self-hosted Pod Pinner and Evictor for Kubernetes."""
