"""The questions that decide between methods; `METHOD_QUESTIONS` is the first of them.

Parameters are those of the papers, or the defaults of the losses; they are where to begin.
"""

from __future__ import annotations

from workbench.runs.choosing.decision_tree import Leaf, Question

DPO = Leaf(
    "DPO",
    {"loss": "dpo", "beta": 0.1},
    "Nothing in your answers asks for more than the plain loss, which is the best understood one. "
    "Its reference is scored once, so a step costs no more than without a reference.",
    "Rafailov et al. 2023, eq. 7",
)
R_DPO = Leaf(
    "R-DPO",
    {"loss": "rdpo", "beta": 0.1, "length_weight": 0.02},
    "Where the chosen are longer, length predicts the label, and DPO learns to write at length. "
    "A price per token takes the length out of what the pairs say.",
    "Park et al. 2024",
)
DPO_POSITIVE = Leaf(
    "DPO-Positive",
    {"loss": "dpop", "beta": 0.1, "drop_weight": 5.0},
    "Where two answers share nearly all tokens, the margin can grow while both become less likely. "
    "The added term pulls the chosen up as soon as it falls below the reference.",
    "Pal et al. 2024 (Smaug), eq. 3",
)
IPO = Leaf(
    "IPO",
    {"loss": "ipo", "beta": 0.1},
    "If the same answer always wins, DPO's margin grows without end, whatever beta is. "
    "IPO's margin has a target, 1 / (2 beta), so that beta still says how far to go.",
    "Azar et al. 2023, eq. 17",
)
ROBUST = Leaf(
    "Robust DPO",
    {"loss": "robust", "beta": 0.1, "label_smoothing": 0.2},
    "Flipped labels pull DPO towards the wrong answers. "
    "If label_smoothing is the share of flips, the mean of this loss over them is DPO on the clean "
    "labels.",
    "Chowdhury et al. 2024, section 3",
)
CONSERVATIVE = Leaf(
    "Conservative DPO",
    {"loss": "cdpo", "beta": 0.1, "label_smoothing": 0.1},
    "The robust loss needs the share of flips, and falls without bound as margins grow. "
    "This one only limits how sure of a label the policy becomes: the margin it wants is finite.",
    "Mitchell 2023, eq. 3",
)
SIMPO = Leaf(
    "SimPO",
    {"loss": "simpo", "beta": 2.0, "gamma": 1.0},
    "Without a reference a long answer would lose by its length alone, because its sum of "
    "log-probabilities is lower. SimPO compares them per token, and asks for a gap of gamma.",
    "Meng et al. 2024, eq. 6",
)
CPO = Leaf(
    "CPO",
    {"loss": "cpo", "beta": 0.1, "nll_weight": 1.0},
    "Answers of similar length can be compared by their sums of log-probabilities. "
    "Beside that, the likelihood of the chosen holds the policy in the place of a reference.",
    "Xu et al. 2024, eq. 3 to 5",
)
ORPO = Leaf(
    "ORPO",
    {"loss": "orpo", "odds_weight": 0.1},
    "One stage does both: the likelihood teaches what answers look like, the odds ratio which of "
    "two is better. No supervised stage comes first, so there is no model yet to stay close to.",
    "Hong et al. 2024, eq. 6 and 7",
)
KTO = Leaf(
    "KTO",
    {"loss": "kto", "beta": 0.1},
    "It asks of each answer alone whether it is better than a typical one, so no pairs are needed. "
    "Its typical log-ratio z is taken from other prompts of the batch.",
    "Ethayarajh et al. 2024, eq. 7 and 8",
)
REWARD_THEN_RLHF = Leaf(
    "A reward model, then RLHF",
    {"method": "reward_model", "epochs": 1},
    "A reward model judges what the policy writes while it learns, which no fixed set of pairs "
    "does. That takes policy, reference and reward model at once, and sampling at every step.",
    "Ouyang et al. 2022, section 3.5",
    "The second stage, PPO or GRPO, is not part of this lesson. What runs here is the first: a "
    "reward model, trained on the pairs.",
)
TRUSTED_REWARD = Leaf(
    "Best-of-n, or RLHF on that reward",
    {"method": "reward_model", "epochs": 1},
    "A reward that any answer can be asked for needs no preferences: sample n answers and keep the "
    "best, at most ln n - (n - 1) / n nats from the reference. "
    "RLHF moves the policy itself, so that one answer is enough afterwards.",
    "Gao et al. 2022; Beirami et al. 2024 for the bound",
    "Neither is part of this lesson. What runs here is a reward model, for a reward that is too "
    "slow to be asked at every step; it learns from pairs of the small world.",
)
MAKE_PAIRS = Leaf(
    "Make pairs, then DPO",
    {"loss": "dpo", "beta": 0.1, "pairs_from": "reference"},
    "Let the model answer twice and vote: each vote is a pair, and training on votes can be "
    "repeated. Pairs of its own answers also tell it about what it really writes.",
    "11_your_votes.ipynb; Tajwar et al. 2024 on a model's own answers",
    "A later lesson lets written principles vote. What runs here is the training, on answers of "
    "the small model itself, with votes of its world.",
)
IMITATE = Leaf(
    "Supervised fine-tuning",
    {"method": "sft"},
    "Good answers alone say what to write and not what to avoid, and their likelihood is all that "
    "can be trained on. Afterwards the model's own answers can be compared, which makes pairs.",
    "Ouyang et al. 2022, section 3.5",
)

WITH_REFERENCE = Question(
    "Are many of the labels wrong?",
    {
        "few, or I can't tell": Question(
            "Is the better answer always the same one: by a test, a rule, a judge without doubt?",
            {
                "no, people differ": Question(
                    "Are the two answers of a pair nearly the same text?",
                    {
                        "no": Question(
                            "Are the preferred answers longer, though you do not want length?",
                            {"no": DPO, "yes": R_DPO},
                        ),
                        "yes": DPO_POSITIVE,
                    },
                ),
                "yes": IPO,
            },
        ),
        "many, but I don't know how many": CONSERVATIVE,
        "many, and I know the share": ROBUST,
    },
)
WITHOUT_REFERENCE = Question(
    "Has the model been trained on answers of this kind before?",
    {
        "yes": Question(
            "Are the answers long, or of very different length?",
            {"yes": SIMPO, "no": CPO},
        ),
        "no": ORPO,
    },
)
WITHOUT_DATA = Question(
    "Is there a reward that you trust: a test, a checker, a number that people agree on?",
    {
        "no": Question(
            "Do you have good answers that the model should imitate?",
            {"no": MAKE_PAIRS, "yes": IMITATE},
        ),
        "yes": TRUSTED_REWARD,
    },
)
METHOD_QUESTIONS = Question(
    "What does a row of your data hold?",
    {
        "two answers, one preferred": Question(
            "Is there memory for three models, and time to sample answers while training?",
            {
                "no": Question(
                    "Is there a reference: a model to stay close to, and time to score the pairs "
                    "with it once?",
                    {"yes": WITH_REFERENCE, "no": WITHOUT_REFERENCE},
                ),
                "yes": REWARD_THEN_RLHF,
            },
        ),
        "one answer, good or bad": KTO,
        "neither": WITHOUT_DATA,
    },
)
