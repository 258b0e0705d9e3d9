"""Shell completion, answered without loading the program."""
