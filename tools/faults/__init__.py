"""kill -9 at random moments: what is common to them, and that of drains; the demo's are in ``tools.demo.moments``."""
