"""This plugin beside table formats: the same work for everybody, each in his best way.

Where to look: `versioned_table` says what every rival can do; each rival has a file of its own (`ours`, `raw_dolt`,
`earlier`, `delta`, `iceberg`, `lance`, `parquet`), whose docstring says why that is its best way. `work` holds the jobs
and lets the rivals take turns at them, `meters` measures one job, `runs` keeps what was measured, `report` prints it,
`bounds` says what is aimed at. `latency`, `branches` and `large` are the jobs that not everybody takes part in.
"""
