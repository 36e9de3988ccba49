"""Results as CSV files, under the name that experiments know."""

from synthenv.runs.csv_files import read_csv, write_csv

__all__ = ["read_csv", "write_csv"]
