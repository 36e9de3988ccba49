"""The small transformer that is told what the regressors say."""
