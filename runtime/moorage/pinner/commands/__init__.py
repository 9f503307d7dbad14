"""What a person asks of the pod pinner from a shell."""
