"""Public fakes for tests: of the service, and of what it is built on."""
