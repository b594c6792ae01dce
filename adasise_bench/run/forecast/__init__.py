"""What a run is expected to do and to take, found out without an explanation."""
