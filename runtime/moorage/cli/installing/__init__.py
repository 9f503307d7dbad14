"""What is in a cluster that an installation has to fit, what follows from it, and the commands that install it."""
