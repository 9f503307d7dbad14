"""Whether an installation can do its work (``moorage check``): one module for each thing that is looked at."""
