"""What was found, and which candidates win."""
