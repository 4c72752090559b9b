"""Stored results as files and streams: CSV, Excel, JSON lines, Parquet, Arrow.

Everything is made from the stored chunks and the stored Arrow schema; the warehouse is never asked again. The work is
cut into *parts*, one for each chunk, which any process may make in any order:

    chunk ──▶ part (`parts`) ──╮
    chunk ──▶ part           ──┼─in order─▶ `files`: one file        ─▶ object store
    chunk ──▶ part           ──╯            or, as they are: a stream ─▶ client

The same stored result and the same options give the same bytes, whoever makes the parts and however many do.
"""
