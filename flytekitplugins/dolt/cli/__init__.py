"""The verbs of ``python -m flytekitplugins.dolt``."""
