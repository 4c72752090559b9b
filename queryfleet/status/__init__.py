"""The life of a query and where it is remembered."""
