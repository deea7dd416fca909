"""Lightning: the data module, the training module and its callbacks."""
