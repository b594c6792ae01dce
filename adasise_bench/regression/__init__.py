"""The gate: keeps the values of a run as a baseline, and compares later runs with them."""
