"""The base of every regression here: columns in their own units, closed forms, double precision."""
