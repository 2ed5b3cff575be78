"""Rules, a file each, in a folder for each family."""
