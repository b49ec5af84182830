"""What is stored, as files: csv and parquet that an import reads back as the same rows."""
