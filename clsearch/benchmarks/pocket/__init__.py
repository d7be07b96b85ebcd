"""Small real benchmarks as Parquet files of encoded images; see LICENCES.md for their sources."""
