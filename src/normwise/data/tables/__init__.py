"""Data sets of tables: a row of numbers a sample."""
