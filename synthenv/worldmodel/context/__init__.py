"""Where a world model's rows come from: collected steps, and logs of others as they are found."""
