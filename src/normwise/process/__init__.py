"""This process: its memory, and the process that started it."""
