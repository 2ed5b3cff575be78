"""What commands print, beside the texts that records have themselves."""
