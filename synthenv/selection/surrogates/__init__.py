"""What can be learnt from past runs, behind one small interface."""
