"""Finds, builds and runs dolt: the program, and the private server of a local repository."""
