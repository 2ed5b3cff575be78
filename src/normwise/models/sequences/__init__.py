"""Networks for speech and text."""
