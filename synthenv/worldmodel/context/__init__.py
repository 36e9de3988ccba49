"""The rows of a world model: collected steps, and logs of others as they are found."""
