"""The steps of scripts/gpu_acceptance.py, and the file that they write their results to."""
