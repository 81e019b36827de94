"""The profiles name options that Snakemake has, and Kubernetes gets a job it can run."""

import subprocess

import pytest
import yaml

from mmlib.records import ROOT

PROFILES = ROOT / "workflow" / "profiles"
KUBERNETES = PROFILES / "kubernetes"


def load(name):
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", ["local", "slurm", "kubernetes"])
def test_every_option_is_one_of_snakemake_s(name):
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser(profiles=[])
    options = {o.lstrip("-") for action in parser._actions for o in action.option_strings}
    profile = load(name)
    assert set(profile) <= options
    assert profile["rerun-incomplete"] is True
    assert profile["nolock"] is True  # or a killed call would lock out the next one


def test_local_has_one_device():
    assert load("local")["resources"] == ["device=1"]


@pytest.fixture
def kubectl(tmp_path):
    """A kubectl that keeps the manifest it gets and answers as told; the calls' environment."""
    tool = tmp_path / "bin" / "kubectl"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/bash\n"
        f'echo "$@" >> {tmp_path}/calls\n'
        f"case $1 in create) cat > {tmp_path}/job.yaml; echo job.batch/mmlib-run-1 ;;\n"
        f"get) cat {tmp_path}/state ;; esac\n"
    )
    tool.chmod(0o755)
    path = f"{tool.parent}:/usr/bin:/bin"
    return {"PATH": path, "MMLIB_IMAGE": "registry.example/book:1", "MMLIB_CLAIM": "checkout"}


def script(name, *arguments, environment, **options):
    return subprocess.run(
        [str(KUBERNETES / name), *arguments],
        env=environment, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def test_kubernetes_gets_one_gpu_the_volume_and_the_script(kubectl, tmp_path):
    done = script(
        "submit", "8", "32000", "120", "/checkout/.snakemake/job.sh",
        environment=kubectl, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "job.batch/mmlib-run-1\n", done.stderr
    job = yaml.safe_load((tmp_path / "job.yaml").read_text())
    assert job["spec"]["activeDeadlineSeconds"] == 120 * 60
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["bash", "/checkout/.snakemake/job.sh"]
    assert container["image"] == "registry.example/book:1"
    wants = container["resources"]
    assert wants["requests"] == {"cpu": "8", "memory": "32000M", "nvidia.com/gpu": 1}
    assert wants["limits"]["nvidia.com/gpu"] == 1
    assert container["volumeMounts"] == [{"name": "checkout", "mountPath": str(tmp_path)}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "checkout"}


def test_kubernetes_needs_an_image_and_a_claim(kubectl, tmp_path):
    for name in ("MMLIB_IMAGE", "MMLIB_CLAIM"):
        environment = {key: value for key, value in kubectl.items() if key != name}
        done = script("submit", "8", "1", "1", "job.sh", environment=environment, cwd=tmp_path)
        assert done.returncode != 0
        assert name in done.stderr


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("Job ", "running"),
        ("Job SuccessCriteriaMet Complete", "success"),
        ("Job Failed", "failed"),
        ("", "failed"),  # the job is gone
        (None, "running"),  # no answer
    ],
)
def test_kubernetes_status_in_snakemake_s_words(state, word, kubectl, tmp_path):
    if state is not None:
        (tmp_path / "state").write_text(state)
    done = script("status", "job.batch/mmlib-run-1", environment=kubectl)
    assert done.stdout == f"{word}\n", done.stderr
    script("cancel", "job.batch/mmlib-run-1", environment=kubectl)
    assert "delete --wait=false job.batch/mmlib-run-1" in (tmp_path / "calls").read_text()
