"""A run and a study with something in every field."""

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Effect,
    Environment,
    Figure,
    Point,
    Result,
    Run,
    RunConfig,
    Saying,
    Series,
    Source,
    Study,
)

#: The machine of every record here.
ENVIRONMENT = Environment(
    normwise="0.1.0",
    torch="2.13.0",
    numpy="2.4.6",
    python="3.11.9",
    system="Linux x86_64",
    processor="Some Processor 9000 @ 2.40GHz",
    cores=2,
)


def config() -> RunConfig:
    """Return a configuration with something in every field."""
    return RunConfig(
        model="resnet",
        data="mnist",
        norm="batch",
        steps=100,
        batch_size=60,
        lr=0.1,
        seed=3,
        eval_every=25,
        optimizer="adam",
        dtype="float64",
        options={"depth": 20, "bias": False, "init_std": 0.5, "placement": "after"},
        train_samples=1000,
        test_samples=200,
        measures=("calibrated", "gradients"),
    )


def run() -> Run:
    """Return a run with something in every field."""
    return Run(
        config=config(),
        environment=ENVIRONMENT,
        points=(Point(0, 2.3, 2.2, 0.1), Point(25, 1.5, 1.25, 0.5, {"norms": [1.5, 2], "deep": {"a": None}})),
        result=Result(100, False, 0.96875, 0.953125, {"spread": 0.25}),
        threads=2,
        data_sha256="0123abcd",
    )


def study() -> Study:
    """Return a study with something in every field."""
    figure = Figure(
        name="curves",
        title="Accuracy – by step",
        caption="One line\nan arm.",
        x_label="step",
        y_label="accuracy",
        series=(
            Series("with", (0.0, 10.0), (0.1, 0.9), (0.0, 0.8), (0.2, 1.0), style=1, failed=(0, 2)),
            Series("by norm", ("batch", "none"), (0.9, 0.5)),
        ),
        x_log=True,
        y_log=True,
        y_percent=True,
        lines=False,
    )
    effect = Effect("steps", "times", 2.5, 1.5, 3.5, 0.95, 3, "of 3")
    case = Case("mlp", Bilingual("2 layers", "2 层"), "dense", effect, 1.25, "open", seeds_needed=7)
    finding = ClaimResult(
        claim="faster",
        group="training",
        statement=Bilingual("It is faster.", "更快。"),
        says=(Saying("000", "introduction"),),
        protocol=("First this.", "Then that."),
        falsifier="It is not.",
        rule="By the interval.",
        dated="2026-11-27",
        revised="It was too coarse.",
        sources=(Source("Ioffe & Szegedy 2015", "4.1", "https://arxiv.org/abs/1502.03167"),),
        cases=(case,),
        controls=(case,),
        further=(effect, Effect("accuracy", "", 0.5, 0.25, 0.75, 0.95, 3)),
        verdict="undecided",
        reason=Bilingual("needs about 7 seeds", "大约需要 7 个随机种子"),
        takeaway=Bilingual("2.5 times.", "2.5 倍。"),
        advice=Bilingual("Use it.", "用它。"),
        figures=(figure,),
        seeds=(0, 1, 2),
        runs=12,
        brief=Brief("gain", Bilingual("speed", "速度"), Bilingual("Use it", "用它")),
    )
    return Study("quick", "digits", "2025-03-01T12:30:00+00:00", 12, 3.5, ENVIRONMENT, (finding,), 2.25)
