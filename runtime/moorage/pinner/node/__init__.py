"""The life of one node, from the promise until it is adopted or gone: observed, acted upon, and answered."""
