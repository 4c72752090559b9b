"""The service in one process, without Ray, databases and sockets: what `queryfleet.testing.service` starts."""
