"""Fixtures for the tests of the doctor."""
