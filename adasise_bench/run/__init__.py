"""One run from its configuration to its records, on one device or on many."""
