"""Where SQL runs: one module per warehouse, all behind the protocol of `base`."""
