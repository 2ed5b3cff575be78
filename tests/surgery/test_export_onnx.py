"""An exported model computes in onnxruntime what it does in torch, or there is none."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ArgumentError, MissingPackageError, ModelError, RunError
from normwise.surgery.export_onnx import export_onnx

_X = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5),
        normwise.nn.BatchNorm1d(5, activation="silu"),
    )  # fmt: skip
    normwise.calibrate(model, _X)
    return model.eval()


def _run(path: Path, *inputs: Tensor) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, (value.numpy() for value in inputs), strict=True)))


@pytest.mark.parametrize("folded", [False, True])
def test_it_computes_the_same_also_for_another_number_of_samples(folded: bool, tmp_path: Path) -> None:
    model, path = _model(), tmp_path / "model.onnx"
    if folded:
        model, _ = normwise.fold(model, _X, timed=False)
    error = export_onnx(model, _X, path)
    assert error < 1e-5
    other = torch.randn(9, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(torch.as_tensor(_run(path, other)[0]), model(other), rtol=1e-4, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_what_was_folded_is_gone_from_the_file(tmp_path: Path) -> None:
    import onnx

    folded, _ = normwise.fold(_model(), _X, timed=False)
    export_onnx(folded, _X, tmp_path / "model.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


class _Keywords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
        return self.norm(self.linear(x)) * scale


def test_an_example_may_be_keywords(tmp_path: Path) -> None:
    example = {"x": torch.randn(5, 3), "scale": torch.randn(5, 1)}
    model = _Keywords().eval()
    export_onnx(model, example, tmp_path / "model.onnx")
    with torch.no_grad():
        expected = model(**example)
    torch.testing.assert_close(torch.as_tensor(_run(tmp_path / "model.onnx", *example.values())[0]), expected)


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(ArgumentError, match=r"model.onnx is there already; .* pass force=True"):
        export_onnx(_model(), _X, path)
    assert path.read_bytes() == b"mine"
    export_onnx(_model(), _X, path, force=True)
    assert path.read_bytes() != b"mine"


def test_a_layer_in_training_is_refused(tmp_path: Path) -> None:
    # Pain 24, https://github.com/open-edge-platform/anomalib/issues/2909: the mode was baked into the file.
    model = _model()
    model[1].train()
    with pytest.raises(ModelError, match=r"BatchNorm2d '1' is in training, .* call model.eval\(\) first"):
        export_onnx(model, _X, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_layer_without_statistics_is_refused(tmp_path: Path) -> None:
    # Pain 24, https://github.com/pytorch/pytorch/issues/75252
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()
    with pytest.raises(ModelError, match="BatchNorm2d '0' keeps no running statistics"):
        export_onnx(model, _X, tmp_path / "model.onnx")


class _Growing(nn.Module):
    """Adds a number that it made when it was exported."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


def test_a_file_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"onnxruntime's outputs differ from torch's by .* was not written"):
        export_onnx(_Growing().eval(), _X, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class _Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_model_that_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model can't be exported to ONNX: "):
        export_onnx(_Deciding().eval(), _X, tmp_path / "model.onnx")


def test_a_model_that_fails_on_the_example_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model fails on the example: "):
        export_onnx(_model(), torch.randn(4, 2, 6, 6), str(tmp_path / "model.onnx"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="can't be written"):
        export_onnx(_model(), _X, tmp_path / "nowhere" / "model.onnx")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    expected = r"an export to ONNX needs onnxscript, which is not installed: pip install 'normwise\[onnx\]'"
    with pytest.raises(MissingPackageError, match=expected):
        export_onnx(_model(), _X, tmp_path / "model.onnx")


def test_autocast_around_the_call_is_not_exported(tmp_path: Path) -> None:
    path, model = tmp_path / "model.onnx", _model()
    with torch.autocast("cpu", torch.bfloat16):
        assert export_onnx(model, _X, path) < 1e-5
    assert _run(path, _X)[0].dtype == "float32"


def test_a_model_that_computes_with_few_digits_is_held_to_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Coarse(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            # As TF32 rounds its factors on a GPU, of which an exported model knows nothing.
            exported = torch.compiler.is_exporting() or input.dtype is torch.float64
            return super().forward(input) * (1 if exported else 1 + 2**-9)

    model = nn.Sequential(Coarse(3, 4), nn.BatchNorm1d(4)).eval()
    x = torch.randn(5, 3)
    with pytest.raises(ModelError, match="onnxruntime's outputs differ from torch's by"):
        export_onnx(model, x, tmp_path / "refused.onnx")
    monkeypatch.setattr("normwise.surgery.proof.digits._precision", lambda kind, device: "tf32")
    assert export_onnx(model, x, tmp_path / "model.onnx") < 1e-5
