"""Frames to Arrow columns with SQL types, and back. Pure."""
