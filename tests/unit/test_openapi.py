"""The API's description: valid, complete, and the one that is stored.

After a wanted change write the stored one anew: python -m tests.unit.test_openapi
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from queryfleet.schemas import exports, model_answers, requests, responses
from queryfleet.settings import Settings
from serve_app.app import create_app

SNAPSHOT = Path(__file__).parents[1] / "fixtures" / "openapi.json"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def current():
    """Return the description that the service gives."""
    return create_app(Settings()).openapi()


def text_of(document):
    """Return the description as it is stored."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@pytest.fixture(scope="module")
def document():
    """The description, as a client reads it."""
    return json.loads(json.dumps(current()))


def operations(document):
    """Return (path, method, operation) of every operation."""
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def references(node):
    """Yield every `$ref` below a node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(document, node):
    """Follow a reference."""
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def test_openapi_is_the_stored_one(document):
    """A change of the interface is seen and wanted: the stored description is written anew with it."""
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == document


def test_openapi_has_the_frame_of_version_3_1(document):
    """Version, title, server and paths are there, and nothing the standard does not know."""
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    known = {*("openapi", "info", "jsonSchemaDialect", "servers", "paths", "webhooks"),
             *("components", "security", "tags", "externalDocs")}  # fmt: skip
    assert set(document) <= known
    assert document["info"]["title"]
    assert document["info"]["version"]
    assert all(path.startswith("/") for path in document["paths"])


def test_openapi_references_all_lead_somewhere(document):
    """Every reference stays in the document and names something that is there."""
    found = set(references(document))
    assert found
    for reference in found:
        assert reference.startswith("#/components/")
        assert resolved(document, {"$ref": reference})


def test_openapi_schemas_are_valid_json_schemas(document):
    """Each schema is one that a validator accepts, its examples included."""
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        full = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for example in schema.get("examples", []):
            jsonschema.validate(example, full, cls=jsonschema.Draft202012Validator)


def test_openapi_operations_are_named_and_explained(document):
    """Each operation has a name of its own, a summary and a description."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names) > 5
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert operation["tags"], (path, method)


def test_openapi_operations_describe_every_answer_with_an_example(document):
    """A reader sees what each answer looks like, errors included, and that errors are all alike."""
    for path, method, operation in operations(document):
        assert "200" in operation["responses"], (path, method)
        assert "default" in operation["responses"], (path, method)
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, method, status)
            assert ("content" in answer) is not (status.startswith("3") or status == "204"), (path, method, status)
            for media_type, content in answer.get("content", {}).items():
                schema = resolved(document, content["schema"])
                assert "example" in content or schema.get("examples"), (path, method, status, media_type)
                if status != "200":
                    assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_openapi_parameters_are_declared_and_explained(document):
    """Each parameter says where it goes and what it means; those of the path are all there and required."""
    for path, method, operation in operations(document):
        parameters = operation.get("parameters", [])
        in_path = {one["name"] for one in parameters if one["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)), (path, method)
        for one in parameters:
            assert one["in"] in {"path", "query", "header"}
            assert one["description"], (path, method, one["name"])
            assert one["schema"]
            assert one["in"] != "path" or one["required"]


def test_openapi_bodies_are_required_and_have_an_example(document):
    """What has to be sent is described and shown."""
    with_body = [(path, operation) for path, _, operation in operations(document) if "requestBody" in operation]
    named = {path.rpartition("/")[2] for path, _ in with_body}
    assert {"sql", "metric-query", "field-values", "compileQuery", "run", "models", "tokens"} <= named
    for _, operation in with_body:
        assert operation["requestBody"]["required"] is True
        content = operation["requestBody"]["content"]["application/json"]
        assert resolved(document, content["schema"])["examples"]


def test_openapi_says_which_routes_need_a_token(document):
    """Every route needs one, but those of health, and files whose links are signed."""
    schemes = document["components"]["securitySchemes"]
    for path, _, operation in operations(document):
        if path in ("/api/v1/health", "/api/v1/livez", "/api/v1/readyz") or path.startswith("/api/v1/files/"):
            assert "security" not in operation
        else:
            assert operation["security"] == [{"token": []}], path
            assert "401" in operation["responses"], path
    assert schemes["token"]["in"] == "header"


@pytest.mark.parametrize("module", [exports, model_answers, requests, responses])
def test_schemas_accept_their_own_examples(module):
    """Each example is an instance of its model."""
    models = [getattr(module, name) for name in module.__all__]
    for model in (one for one in models if issubclass(one, BaseModel)):
        examples = model.model_config["json_schema_extra"]["examples"]
        assert examples
        for example in examples:
            model.model_validate(example)


if __name__ == "__main__":
    SNAPSHOT.write_text(text_of(current()), encoding="utf-8")
