"""Revisions and what they hold: versions, tags, differences, merges, lineage."""
