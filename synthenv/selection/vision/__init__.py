"""Pretrained image networks, small image tasks, and what a tuner asks of them: fine-tune with these settings."""
