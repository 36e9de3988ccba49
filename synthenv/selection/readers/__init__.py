"""How a meta-data set is read from the layouts that people have, and written in ours."""
