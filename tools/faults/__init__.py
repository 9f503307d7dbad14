"""kill -9 at random moments of drains, and the parts that all fault tests share (``tools.demo.moments``: the demo)."""
