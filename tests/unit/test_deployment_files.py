"""`ray-cluster.yaml` and what is in `deploy/`: well formed, in agreement with the code, and without a secret."""

import re
import tomllib
import warnings
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.environment import RAY_ENVIRONMENT, config_map
from cluster.serve_entry import ServeArguments
from queryfleet.project import load_project
from queryfleet.settings import load_settings, unknown_variables
from serve_app.routes import health

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "deploy/kuberay"
_SECRET = re.compile(r"password|secret|token|access.?key|database.?url", re.IGNORECASE)


def _documents():
    for path in sorted(KUBERAY.glob("*.yaml")):
        yield from ((path.name, document) for document in yaml.safe_load_all(path.read_text()))


def _service():
    return yaml.safe_load((KUBERAY / "rayservice.yaml").read_text())["spec"]


def _serve_config():
    return yaml.safe_load(_service()["serveConfigV2"])


def _groups():
    cluster = _service()["rayClusterConfig"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"], **groups}


def _pods():
    return {name: group["template"] for name, group in _groups().items()}


def _containers():
    return {name: pod["spec"]["containers"][0] for name, pod in _pods().items()}


def _launcher():
    return yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())


def test_launcher_file_passes_rays_own_check():
    """Ray's cluster launcher takes the file as it is."""
    config = prepare_config(_launcher())
    validate_config(config)
    assert config["provider"]["type"] == "local"


def test_launcher_file_with_unknown_key_is_refused():
    """The check above means something."""
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(_launcher() | {"head_start_commands": []}))


def test_launcher_starts_ray_with_our_environment():
    """Every `ray start` has the variables of `cluster/environment.py`, and names none of them itself."""
    config = _launcher()
    for kind, option in (("head", " --head"), ("worker", "")):
        commands = config[f"{kind}_start_ray_commands"]
        assert commands[0].endswith("/ray stop"), "an old Ray is ended first"
        (start,) = [command for command in commands if "/ray start" in command]
        assert f'eval "$(~/queryfleet-env/bin/python -m cluster.environment{option})" &&' in start
        assert start.index("cluster.environment") < start.index("/ray start")
        assert not [name for name in RAY_ENVIRONMENT if name in start]


def test_kubernetes_environment_is_that_of_the_code():
    """The ConfigMap is what `python -m cluster.environment --kubernetes` writes, and every pod has it."""
    assert (KUBERAY / "ray-environment.yaml").read_text() == config_map(RAY_ENVIRONMENT)
    name = yaml.safe_load(config_map(RAY_ENVIRONMENT))["metadata"]["name"]
    for container in _containers().values():
        assert container["envFrom"] == [{"configMapRef": {"name": name}}]


def test_kustomization_lists_every_manifest():
    """Nothing in the folder is forgotten when it is applied."""
    resources = yaml.safe_load((KUBERAY / "kustomization.yaml").read_text())["resources"]
    assert sorted(resources) == sorted(path.name for path in KUBERAY.glob("*.yaml") if path.stem != "kustomization")


@pytest.mark.parametrize(("name", "document"), list(_documents()))
def test_manifest_has_what_kubernetes_requires(name, document):
    """Each document says what it is."""
    assert document["apiVersion"], name
    assert document["kind"], name
    if document["kind"] != "Kustomization":
        assert document["metadata"]["name"].startswith("queryfleet"), name


def test_serve_config_passes_serves_own_check():
    """Serve takes the configuration, and it builds our application with arguments that exist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Serve's own use of pydantic
        from ray.serve.schema import ServeDeploySchema
    config = _serve_config()
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "cluster.serve_entry:app"
    assert application.route_prefix == "/"
    arguments = ServeArguments.model_validate(application.args)
    mounted = {mount["mountPath"] for container in _containers().values() for mount in container["volumeMounts"]}
    assert {str(path) for path in arguments.projects} <= mounted
    (deployment,) = config["applications"][0]["deployments"]
    assert deployment["autoscaling_config"]["max_replicas"] == _groups()["http"]["maxReplicas"], "one replica a pod"


def test_service_variables_are_settings(monkeypatch):
    """Every variable for the service is a real setting, and the values are accepted."""
    plain = _serve_config()["applications"][0]["runtime_env"]["env_vars"]
    secret = {entry["name"] for container in _containers().values() for entry in container["env"]}
    assert unknown_variables(plain | dict.fromkeys(secret, "")) == {}
    for name, value in plain.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert 0 < settings.pool_size < settings.pool_size_max
    assert settings.actor_cpus > 0, "or the autoscaler would never add a pod for queries"
    slots = _groups()["query"]["maxReplicas"] * int(_groups()["query"]["rayStartParams"]["num-cpus"])
    assert settings.pool_size_max * settings.actor_cpus <= slots


def test_queries_and_http_stay_apart():
    """Only query pods have CPUs for query actors, and only http pods what a replica asks for."""
    cpus = {name: group["rayStartParams"].get("num-cpus") for name, group in _groups().items()}
    assert cpus == {"head": "0", "http": "0", "query": "4"}
    (asked,) = _serve_config()["applications"][0]["deployments"][0]["ray_actor_options"]["resources"]
    assert [name for name, group in _groups().items() if asked in group["rayStartParams"].get("resources", "")] == [
        "http"
    ]


def test_secrets_are_references():
    """No manifest holds a secret: what sounds like one comes from a Secret."""
    for pod in _containers().values():
        for entry in pod["env"]:
            assert set(entry) == {"name", "valueFrom"}, "a plain value would belong into the Serve configuration"
            assert set(entry["valueFrom"]["secretKeyRef"]) == {"name", "key"}
    assert not [name for name in _serve_config()["applications"][0]["runtime_env"]["env_vars"] if _SECRET.search(name)]
    assert "Secret" not in {document["kind"] for _, document in _documents()}
    assert set(_service()["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisPassword"]) == {"valueFrom"}


def test_project_in_manifest_is_one_we_can_load(tmp_path):
    """The example project is valid, and its secrets are those that the pods have."""
    (text,) = yaml.safe_load((KUBERAY / "project-shop.yaml").read_text())["data"].values()
    (tmp_path / "project.yml").write_text(text)
    load_project(tmp_path)
    needed = set(re.findall(r"\$\{(\w+)\}", text))
    for container in _containers().values():
        assert needed <= {entry["name"] for entry in container["env"]}


def test_ray_versions_agree():
    """The image, the manifest, the Dockerfile and pyproject.toml speak of one Ray; uv.lock has it."""
    version = _service()["rayClusterConfig"]["rayVersion"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"ray[serve]~={version}" in project["optional-dependencies"]["server"]
    locked = {
        package["name"]: package.get("version") for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    assert locked["ray"] == version
    images = {container["image"] for container in _containers().values()}
    tag = f":{project['version']}-ray{version}"
    assert [image.endswith(tag) for image in images] == [True]
    assert tag in (ROOT / "deploy/Dockerfile").read_text()


def test_probes_ask_for_what_exists():
    """HTTP pods are asked through our own routes; no probe that ends a pod depends on database or Serve."""
    routes = {route.path for route in health.router.routes}
    http = _containers()["http"]
    paths = {kind: http[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths["startup"] == "/api/v1/readyz"
    assert paths["readiness"] == "/api/v1/livez"
    assert {paths["startup"], paths["readiness"]} <= routes
    for name in ("http", "query"):
        assert _containers()[name]["livenessProbe"]["httpGet"]["path"] == "/api/local_raylet_healthz"
    assert _serve_config()["http_options"]["port"] == http["readinessProbe"]["httpGet"]["port"]


def test_pods_are_bounded_and_unprivileged():
    """Every pod asks for memory and CPU, has a memory limit, and runs as the image's ordinary user."""
    user = int(re.search(r"^USER (\d+):", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)[1])
    for name, pod in _pods().items():
        container = pod["spec"]["containers"][0]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"], name
        assert pod["spec"]["securityContext"]["runAsNonRoot"], name
        assert pod["spec"]["securityContext"]["runAsUser"] == user != 0, name
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_budgets_and_policies_select_our_pods():
    """Each selector matches labels that a pod really has."""
    labels = [pod["metadata"]["labels"] for pod in _pods().values()]
    for _, document in _documents():
        if document["kind"] == "PodDisruptionBudget":
            selector = document["spec"]["selector"]["matchLabels"]
        elif document["kind"] == "NetworkPolicy":
            selector = document["spec"]["podSelector"]["matchLabels"]
        else:
            continue
        assert any(selector.items() <= each.items() for each in labels), document["metadata"]["name"]


def test_dockerfile_copies_every_package():
    """The image has each package that the wheel lists, and the build context lets it through."""
    dockerfile, ignored = (ROOT / "deploy/Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().split()
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} {package}\n" in dockerfile
        assert f"!{package}" in ignored
