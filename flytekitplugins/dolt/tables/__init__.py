"""Rows of tables on a given connection: read, fitted, compared, written."""
