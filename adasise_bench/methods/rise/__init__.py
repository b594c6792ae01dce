"""RISE: random masks, weighted by the score that they leave."""
