"""The demo: a placeholder, a pod bound to it before the machine exists, and a real kubelet that adopts both."""
