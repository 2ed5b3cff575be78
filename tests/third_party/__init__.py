"""A sweep of all operations over models of other libraries."""
