"""Files that a user names: found, opened, unpacked and decoded."""
