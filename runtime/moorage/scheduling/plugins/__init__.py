"""The Filter plugins of kube-scheduler, one module each, under the names they have there."""
