"""Shell completion: what may stand at the cursor, answered without loading the program."""
