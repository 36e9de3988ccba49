"""Files that a run leaves: its directory, its metrics, its tables; written whole or not at all."""
