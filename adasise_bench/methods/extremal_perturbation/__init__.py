"""Extremal Perturbation: masks of given areas, optimised to keep the score."""
