"""Long rows to wide rows.

Flat rows, one for each cell, become one JSON line for each combination of index values:

    month       city    fare          {"month":"2024-02-01","fare_any_Oslo":7,"fare_any_<null>":1}
    2024-02-01  Oslo    7        →    {"month":"2024-01-01","fare_any_Bergen":5,"fare_any_Oslo":10}
    2024-01-01  Bergen  5
    2024-02-01  NULL    1
    2024-01-01  Oslo    10

`wire` reads what a client asks for into a `PivotSpec`. Then there are two ways. Where the warehouse has ranked rows and
columns, `ranked` folds its batches as they come. Else the ranking is done here: `dictionary` finds and orders the
columns, `ranking` orders the rows, `local` does it for one table and `distributed` has the same steps for many
partitions. `fold` writes the lines, `wide` Arrow columns, `details` what a page says about the pivot.
"""
