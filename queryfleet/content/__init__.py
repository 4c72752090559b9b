"""Saved content: charts, SQL charts and dashboards, with their versions."""
