"""The default world model: an ensemble of regressors, each fitted to the context in closed form."""
