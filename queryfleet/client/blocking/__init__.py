"""The client for ordinary, blocking code: made of `queryfleet.client.concurrent` by `tools/make_blocking.py`.

Only `lanes` is written by hand: it holds what blocking and asyncio code do differently.
"""
