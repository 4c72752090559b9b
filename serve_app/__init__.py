"""The HTTP edge: authenticate, accept, poll, serve pages. It never runs a warehouse call and never encodes a result."""
