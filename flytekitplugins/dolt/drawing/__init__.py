"""Graphs of tables and what made them, drawn: as SVG, as HTML, and as text for Mermaid and Graphviz.

Pure: values in, text out, the same text each time. Knows nothing of repositories, servers or Flyte.
"""
