"""A local page to look at, correct and export annotations and predictions."""
