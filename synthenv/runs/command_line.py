"""All commands: what each can be told, its name, and who carries it out. Imports nothing heavy."""

from synthenv.runs.demo.arguments import Demo
from synthenv.runs.evaluate.arguments import Evaluate, Plot, Train
from synthenv.runs.list_names.arguments import List
from synthenv.runs.meta_train.arguments import MetaTrain
from synthenv.runs.oswm.arguments import OswmPlot
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.tune.arguments import Tune

Command = (
    MetaTrain
    | Train
    | Evaluate
    | Plot
    | Demo
    | Tune
    | List
    | OswmRun
    | OswmPretrain
    | OswmBenchmark
    | OswmPlot
)
NAMES = {
    MetaTrain: "meta-train",
    Train: "train",
    Evaluate: "evaluate",
    Plot: "plot",
    Demo: "demo",
    Tune: "tune",
    List: "list",
    OswmRun: "oswm run",
    OswmPretrain: "oswm pretrain",
    OswmBenchmark: "oswm benchmark",
    OswmPlot: "oswm plot",
}
# A function of the parsed command that returns its results, by its place under synthenv.runs.
CARRIED_OUT_BY = {
    MetaTrain: "meta_train.command:carry_out",
    Train: "evaluate.command:train",
    Evaluate: "evaluate.command:evaluate",
    Plot: "evaluate.plot_command:plot",
    Demo: "demo.command:carry_out",
    Tune: "tune.command:tune",
    List: "list_names.command:list_names",
    OswmRun: "oswm.run.command:run",
    OswmPretrain: "oswm.pretrain.command:pretrain",
    OswmBenchmark: "oswm.benchmark.command:benchmark_with_bars",
    OswmPlot: "oswm.plot_command:plot",
}
