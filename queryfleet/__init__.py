"""Ask a data warehouse a question and read any page of the answer.

The library behind the service: everything here works without Ray and without a web server. The service itself is
put together by the packages `actors`, `serve_app` and `cluster`.
"""

__version__ = "0.1.0"
