"""What the columns of a table hold, and how far that has moved between two tables. Pure: no server, no Flyte."""
