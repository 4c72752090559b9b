"""Settings in, a running system out: the only package that knows every concrete class."""
