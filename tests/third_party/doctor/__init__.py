"""The doctor's examination of other libraries' models."""
