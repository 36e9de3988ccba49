"""Pretraining the paper's transformer."""

from synthenv.runs.batches import PaperBatches
from synthenv.runs.pretrain import Method
from synthenv.runs.real_errors import of_paper
from synthenv.worldmodel import paper_pretrain

PAPER = Method(
    "paper", paper_pretrain.init, PaperBatches, paper_pretrain.train_step, paper_pretrain.score, of_paper
)
