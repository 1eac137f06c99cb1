"""What a deck shows of a table: collected, and drawn as HTML."""
