"""What ``synthenv select rank`` can be told. Imports nothing heavy."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from synthenv.core.errors import UserError
from synthenv.runs.arguments import Common, check_counts, described


@dataclasses.dataclass(frozen=True)
class SelectRank:
    """Rank configurations for a data set on which nothing was run yet.

    Attributes:
        data: Directory of past runs on other data sets.
        meta_features: What is known of the new data set, each as NAME=VALUE; what is left out counts as unknown.
        for_dataset: A data set of the table instead, whose own runs are then not learnt from.
        surrogate: What ranks.
        top: How many configurations to show.
        cross_validate: Hold out each data set of the table instead, and measure what the first choice comes to.
        folds: Of data sets that are held out together.
        leave_one_out: Hold out one data set at a time.
        strict: Leave out configurations that were tuned on the data sets held out.
        sizes: Csv file with columns name and size: the sizes of pretrained models, for the baseline static_size.
    """

    data: Path
    meta_features: tuple[str, ...] = ()
    for_dataset: Annotated[str | None, tyro.conf.arg(name="for", metavar="NAME")] = None
    surrogate: str = "zap"
    top: int = 10
    cross_validate: bool = False
    folds: int = 5
    leave_one_out: bool = False
    strict: bool = False
    sizes: Path | None = None
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: naming the flag.
        """
        check_counts(self, "top", "folds")
        if self.cross_validate and (self.meta_features or self.for_dataset):
            raise UserError("--cross-validate holds out every data set: drop --meta-features and --for")
        if not self.cross_validate and (self.leave_one_out or self.strict or self.sizes):
            raise UserError(
                "--leave-one-out, --strict and --sizes are for --cross-validate: add it, or drop them"
            )
        if not self.cross_validate and bool(self.meta_features) == bool(self.for_dataset):
            raise UserError(
                "for which data set? Pass --meta-features NAME=VALUE ..., or --for with the name of one of the table"
            )
        self.described()

    def described(self) -> dict[str, float]:
        """The meta-features that were passed.

        Raises:
            UserError: one is no NAME=NUMBER.
        """
        return described(self.meta_features)
