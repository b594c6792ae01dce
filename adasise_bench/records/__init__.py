"""What a run writes into its folder, and everything that reads it again."""
