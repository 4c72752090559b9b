"""The client for asyncio code. `queryfleet.client.blocking` is made of these modules by `tools/make_blocking.py`.

Only `lanes` is written twice: it holds what blocking and asyncio code do differently.
"""
