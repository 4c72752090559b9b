"""JSON texts of Arrow columns, and the joining of many texts into lines: what results and pivots share."""
