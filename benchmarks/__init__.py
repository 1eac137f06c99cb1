"""How fast the plugin is, beside what could be done without it: run ``python -m benchmarks``."""
