"""What is wrong with a data set, told in one list before training meets it."""
