"""The HTTP contract as models, shared so that server, client and documentation cannot drift apart."""
