"""What every regression here stands on: columns in their own units, closed forms, double precision."""
