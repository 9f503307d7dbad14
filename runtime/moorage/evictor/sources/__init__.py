"""Where the objects of an inventory come from."""
