"""What every `ray start` gets, in three forms."""

import subprocess

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.environment import RAY_ENVIRONMENT, cluster_environment, config_map, export_lines, head_environment


def test_cluster_environment_asks_for_token_unless_told():
    """Ray is protected by a token unless somebody chose otherwise."""
    assert cluster_environment({})["RAY_AUTH_MODE"] == "token"
    assert cluster_environment({"RAY_AUTH_MODE": "disabled"})["RAY_AUTH_MODE"] == "disabled"


def test_head_environment_keeps_control_store_in_home():
    """The head's control store is in the home folder, in a folder that was chosen, or in Redis."""
    assert head_environment({"HOME": "/home/q"})["RAY_gcs_storage_path"] == "/home/q/.queryfleet-gcs"
    assert head_environment({"HOME": "/h", "RAY_gcs_storage_path": "/data"})["RAY_gcs_storage_path"] == "/data"
    assert "RAY_gcs_storage" not in head_environment({"HOME": "/h", "RAY_REDIS_ADDRESS": "redis:6379"})


def test_environments_hold_the_common_part():
    """Head, workers and pods never differ in what all need."""
    for variables in (
        cluster_environment({}),
        head_environment({"HOME": "/h"}),
        yaml.safe_load(config_map(RAY_ENVIRONMENT))["data"],
    ):
        assert RAY_ENVIRONMENT.items() <= variables.items()


_VALUES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), max_size=20)


@given(st.dictionaries(st.from_regex(r"QF_[A-Z]{1,8}", fullmatch=True), _VALUES, max_size=4))
def test_export_lines_survive_a_shell(variables):
    """A shell that evaluates the lines has exactly these values, whatever is in them."""
    script = export_lines(variables) + "env -0"
    environ = subprocess.run(["/bin/sh", "-c", script], env={}, capture_output=True, check=True).stdout
    found = dict(entry.split("=", 1) for entry in environ.decode().split("\0") if entry.startswith("QF_"))
    assert found == variables
