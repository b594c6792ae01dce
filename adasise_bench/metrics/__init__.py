"""The metrics that a saliency map is judged by."""
