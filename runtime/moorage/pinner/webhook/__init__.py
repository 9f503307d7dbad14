"""The mutating webhook: pods that are expected on a promised node are pinned while they are created."""
