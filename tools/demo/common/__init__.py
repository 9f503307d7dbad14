"""What all demos have in common: events and the state they add up to, recordings, screens, pictures, processes."""
