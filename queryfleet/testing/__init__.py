"""For tests of code that uses Queryfleet: a whole service in the test's own process.

with queryfleet.testing.service(answers={"select 1 as n": pa.table({"n": [1]})}) as service:
    client = service.client()
"""

from queryfleet.testing.answers import Answer, script_of
from queryfleet.testing.scripted_warehouse import Script, ScriptedSession, ScriptedWarehouse
from queryfleet.testing.service import TestService, service

__all__ = ["Answer", "Script", "ScriptedSession", "ScriptedWarehouse", "TestService", "script_of", "service"]
