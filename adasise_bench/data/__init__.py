"""Pictures, their annotations, and the way they enter a network."""
