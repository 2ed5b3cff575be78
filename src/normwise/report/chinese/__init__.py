"""Chinese of the reports' pages."""
