"""What both plugins use. Not for users."""
