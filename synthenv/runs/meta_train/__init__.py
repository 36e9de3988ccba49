"""``synthenv meta-train``: evolving a proxy."""
