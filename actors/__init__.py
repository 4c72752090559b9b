"""What runs on the cluster: the status actor, the query actors, and the one way a query is accepted."""
