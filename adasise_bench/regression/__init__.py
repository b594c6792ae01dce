"""The gate: keeps a run's values as a baseline, and holds a later run against them."""
