"""Results in the formats of other programs: a card for model hubs, evaluation logs, experiment trackers."""
