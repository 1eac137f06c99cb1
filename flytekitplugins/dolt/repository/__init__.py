"""A repository as a place to read and write: connections, branches, commits, clones of remotes."""
