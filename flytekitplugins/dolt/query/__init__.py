"""What a query may be, and which parts of it name another state. Pure."""
