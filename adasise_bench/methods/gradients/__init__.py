"""Methods that propagate gradients or relevance back to the input."""
