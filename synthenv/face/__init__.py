"""What ``import synthenv`` offers: the commands as functions, and what they return."""
