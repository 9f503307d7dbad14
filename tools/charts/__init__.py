"""Charts as they are released: linted and packaged."""
