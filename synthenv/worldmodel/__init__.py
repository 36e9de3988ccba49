"""World models that learn a task in context: one transformer, trained on a prior of tasks, then frozen."""
