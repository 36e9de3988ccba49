"""Static choices of the outer loop. Imports nothing heavy, so that ``synthenv --help`` stays quick."""

from typing import Annotated, Literal, NamedTuple

import tyro

from synthenv.core.bounds import Bounds, Count, CountOrZero, Finite, NotNegative, Positive, Share

ObjectiveName = Literal["max_reward", "reward_threshold", "auc"]


class StrategyConfig(NamedTuple):
    """Search distribution of the outer loop.

    Attributes:
        name: The papers' rule (paper_nes), an evosax algorithm (open_es, snes, sep_cma_es), or one of your own.
        num_pairs: Mirrored pairs; the population holds twice as many members.
        std: Standard deviation of the perturbations.
        step_size: paper_nes: factor alpha on the weighted sum of perturbations; open_es: learning rate of
            Adam; the other two adapt their own.
        transformation: Score transformation of paper_nes (appendix E): linear, rank, nes, nes_unnormalized,
            single_best, single_better, all_better_1, all_better_2, or one of your own.
        mirrored: paper_nes only: whether the better half of each pair stands for it, else the plus half does.
        step_decay: open_es only, off at 0: the step is multiplied by 1 - step_decay * share, share being how
            much of the task is solved (score over threshold).
    """

    name: str = "open_es"
    num_pairs: Annotated[int, Bounds(2)] = 16
    std: Positive = 0.05
    step_size: Positive = 0.05
    transformation: str = "all_better_2"
    mirrored: bool = True
    step_decay: Share = 0.0


class OuterConfig(NamedTuple):
    """One generation and when to stop.

    Attributes:
        num_generations: Most generations.
        num_starts: Random proxies tried before the first generation; the search starts at the one around which
            agents learn best. 1: at a random one, as in the papers.
        num_climbs: Of those, the best so many (at most all) are searched from for climb_generations, and only the
            search whose members score best by then goes on. 1: the best start, unclimbed.
        climb_generations: Generations before that choice; they do not count among num_generations.
        num_incumbents: Fresh agents trained on the unperturbed proxy in every generation.
        agents_per_member: Fresh agents whose mean score is a member's score.
        common_random_numbers: Whether the two halves of a mirrored pair share hyperparameters and seeds.
        num_test_episodes: Greedy episodes on the real task per trained agent.
        stop_when_solved: End once the mean incumbent score has reached solved_score. A search that goes on is called
            solved if the best mean score of its incumbents reached it.
        solved_score: Threshold of stop_when_solved and of step_decay; the task's own if None.
        objective: What is maximised: max_reward, the mean real return after training; reward_threshold, minus the
            training steps, less unsolved_weight for every point of return below the solved threshold; auc, the area
            under the curve of real test returns over training steps.
        unsolved_weight: Steps that a missing point of return is worth to reward_threshold.
        confirm_agents: Fresh agents trained on the unperturbed proxy before stop_when_solved may end the run,
            drawn from the whole of table 2 (six shapes of network by turns) if the search varies its agents; their
            mean less its standard error must hold the threshold too. Up to 32 more of the search's own agents are
            asked before them, and of all proxies that such agents judged the best is kept. 0: none, as in the papers.
    """

    num_generations: Count = 200
    num_starts: Count = 1
    num_climbs: Count = 1
    climb_generations: Count = 9
    num_incumbents: CountOrZero = 16
    agents_per_member: Count = 1
    common_random_numbers: bool = False
    num_test_episodes: Count = 10
    stop_when_solved: bool = False
    solved_score: Finite | None = None
    confirm_agents: CountOrZero = 0
    objective: Annotated[ObjectiveName, tyro.conf.arg(aliases=["--objective"])] = "max_reward"
    unsolved_weight: NotNegative = 100.0
