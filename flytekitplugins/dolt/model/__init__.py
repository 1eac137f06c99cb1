"""What users write and read, its options, and how it travels. Pure: no I/O, nothing of Flyte."""
