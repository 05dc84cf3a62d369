"""Tables in files, and how their columns become a network's inputs and targets; for the command line."""
