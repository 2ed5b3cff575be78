"""English texts of pages with their Chinese, a file for each kind of page."""
