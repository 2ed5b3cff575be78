"""Training runs in Keras, from the configuration to the result."""

from pathlib import Path

from normwise.data import BatchOrder, load_data
from normwise.errors import ArgumentError
from normwise.import_keras import import_keras
from normwise.records import Run, RunConfig
from normwise.training.keras.backend_in_use import backend_in_use
from normwise.training.keras.run_network import begin_with_vectors, keras_network
from normwise.training.loop import OnStep
from normwise.training.run.folder import RunFolder
from normwise.training.run.request import check_config, may_begin


def train_in_keras(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    wait: bool = False,
    checkpoint_seconds: float = 10.0,
    on_step: OnStep | None = None,
) -> Run:
    """Train as ``config`` says, into ``folder``, and return the finished run.

    This is ``normwise.training.train`` with ``normwise.keras.networks`` and Keras's optimisers: the same batches in
    the same order, the same evaluations and files. Weights, optimiser and step are saved, and dropout follows from
    the step. So an interrupted run resumes with the same numbers as an uninterrupted one, if its backend is
    deterministic. The folder stores versions and backend; resuming with others is an error.

    Args:
        config: Configuration with ``framework="keras"``.
        folder: Folder of the run, see ``RunFolder``.
        resume: Resume the run in the folder, if there is one.
        wait: Wait for another process that works in the folder, instead of raising.
        checkpoint_seconds: Most seconds of work that an interruption may lose; 0 saves at every step.
        on_step: Function that is called after each step.

    Raises:
        RunError: the folder holds a run and ``resume`` is off, or another run, or other files; or the run was begun
            with other data, another backend or another version; or another process works in it.
        MissingPackageError: Keras, or its backend, is not installed.
        ArgumentError: the configuration has a setting that is only for torch.
        ModelError, DataError: the configuration can't be carried out.
    """
    run_folder = RunFolder(folder)
    check_config(config)
    for name in ("split", "eval_growth", "stop_at_loss", "draw_samples", "augment"):
        if getattr(config, name) != getattr(RunConfig, name):
            raise ArgumentError(f"{name} is for runs in torch; leave it out of one in Keras")
    import_keras()
    from normwise.training.keras.keras_loop import KerasLoop

    loaded = load_data(config.task, config.data, **config.data_options)
    data = loaded.subset(config.train_samples, config.test_samples)
    network = keras_network(config, data.input_spec)
    may_begin(run_folder, config, resume=resume)
    begin_with_vectors(network, data)
    order = BatchOrder(len(data.training), config.batch_size, config.seed)
    with run_folder.locked(wait=wait):
        run_folder.begin_in_keras(config, loaded, backend_in_use())
        if not run_folder.finished:
            KerasLoop(config, run_folder, network, data, order, checkpoint_seconds, on_step).run()
        return run_folder.read()
