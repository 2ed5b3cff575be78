"""The preset for a GPU: its claims on small networks on the CPU, and what is asked of a device."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from normwise.errors import ArgumentError
from normwise.records import RunConfig
from normwise.report import study_page
from normwise.studies import Cluster, Preset, claims_named, preset_named, run_study
from normwise.studies.claims.use.batches import batch_runs
from normwise.studies.fingerprint import Fingerprint, environment_on
from normwise.training import train

_CLAIMS = (
    "trainable_depth",
    "placement",
    "small_batches",
    "small_batches_below_16",
    "cost_memory",
    "cost_memory_reason",
    "cost_time",
)
#: Options of small networks of the same kinds.
_SMALL = {
    "mlp_40": {"depth": 2, "width": 8, "init": "he"},
    "wide_cnn": {"width": 4},
    "resnet_20": {"depth": 8, "width": 4, "bias": True, "init": "he"},
    "resnet_56": {"depth": 8, "width": 8, "bias": True, "init": "he"},
}


@pytest.fixture
def gpu() -> Preset:
    return preset_named("gpu")


def _small(preset: Preset) -> Preset:
    networks = {
        name: replace(network, options=_SMALL[name], steps=2, data="crops-16" if name == "wide_cnn" else "")
        for name, network in preset.networks.items()
    }
    return replace(
        preset,
        device="cpu",
        data="digits",
        networks=networks,
        tuning_seeds=(0,),
        seeds=(2, 3, 4),
        train_samples=100,
        test_samples=20,
    )


def test_on_small_networks_every_claim_is_judged_and_the_page_written(
    tmp_path: Path, gpu: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_runs, "samples", lambda preset: 32)
    study = run_study(_small(gpu), claims_named((), "gpu"), tmp_path)
    assert [finding.claim for finding in study.findings] == list(_CLAIMS)
    assert {finding.claim: len(finding.cases) for finding in study.findings} == dict(
        zip(_CLAIMS, (4, 2, 2, 6, 4, 4, 4), strict=True)
    )
    page = study_page(study)
    assert all(finding.statement.zh in page for finding in study.findings)


def test_its_claims_are_those_that_are_for_it() -> None:
    assert tuple(claim.name for claim in claims_named((), "gpu")) == _CLAIMS
    with pytest.raises(ArgumentError, match="preset=gpu does not have the claim 'speech'; it has trainable"):
        claims_named(("cost_time", "speech"), "gpu")


def test_without_a_device_nothing_is_made(
    tmp_path: Path, gpu: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "study"
    with pytest.raises(ArgumentError, match=r"^preset=gpu needs a CUDA device; torch sees none$"):
        run_study(gpu, claims_named((), "gpu"), out)
    config = RunConfig("dense_bn", "digits", "batch", 1, 20, 0.1, 0, 1)
    with pytest.raises(ArgumentError, match=r"^device=cuda needs a CUDA device; torch sees none$"):
        train(config, out, device="cuda")
    assert not out.exists()


def test_it_is_not_for_a_cluster(tmp_path: Path, gpu: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ArgumentError, match="on the GPU of this machine, and not on a cluster"):
        run_study(gpu, claims_named((), "gpu"), tmp_path, cluster=Cluster("dask", "tcp://host:1"))


def test_runs_on_a_gpu_are_told_from_those_on_the_cpu_and_on_another_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [Fingerprint.here()]
    for name in ("One GPU", "Another GPU"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        found.append(Fingerprint.here("cuda"))
        assert found[-1].kernels.endswith(f" on {name}")
        assert environment_on("cuda").processor.startswith(f"{name}; ")
    assert len(set(found)) == 3


@pytest.mark.parametrize("name", _CLAIMS)
def test_networks_are_larger_and_differ_from_those_of_the_other_presets(gpu: Preset, name: str) -> None:
    (claim,) = claims_named((name,))
    runs = claim.runs(gpu, lambda search: search.rates[0])
    others = claim.runs(preset_named("full"), lambda search: search.rates[0])
    assert {run.data for run in runs} == {"fashion-mnist"}
    assert not {run.key for run in runs} & {run.key for run in others}
