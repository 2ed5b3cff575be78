"""This process: its memory, its threads, and the process that started it."""
