"""The tasks of `mmad-data`, one file each: a function of the task's name that takes the configuration."""
