"""All runs of a sweep as one table, and which of them to take."""

from __future__ import annotations

from typing import Any

import pandas as pd
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from workbench.runs.study.config import KL, PREFIX
from workbench.runs.study.plan import Plan
from workbench.runs.study.trial_run import METRICS, REASON, SECONDS, STEP

STATES = {
    TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
    TrialState.RUNNING: "begun", TrialState.WAITING: "waiting",
}  # fmt: skip


def runs_table(plan: Plan, study: Study) -> pd.DataFrame:
    """One row a run that has begun, by its number: the settings that were swept, `state`, `step`,
    every held-out metric of its last evaluation without `held_out/`, `within_limit`, `front`
    (of two goals), `seconds`, `reason` (why it failed) and `folder`."""
    trials = study.get_trials(deepcopy=False)
    front = {one.number for one in study.best_trials} if plan.study.pareto else set()
    rows = [_row(plan, one, one.number in front) for one in trials if _is_drawn(plan, one)]
    first = ["run", *plan.names, "state", "step"]
    last = ["within_limit", "front", "seconds", "reason", "folder"]
    metrics = dict.fromkeys(name for row in rows for name in row if name not in {*first, *last})
    return pd.DataFrame(rows, columns=[*first, *metrics, *last])


def _is_drawn(plan: Plan, trial: FrozenTrial) -> bool:
    return trial.params.keys() == plan.axes.keys()


def _row(plan: Plan, trial: FrozenTrial, in_front: bool) -> dict[str, Any]:
    known, limit = trial.user_attrs, plan.study.kl_limit
    metrics: dict[str, float] = known.get(METRICS, {})
    return {
        "run": trial.number,
        **plan.settings(trial.number, trial.params),
        "state": STATES[trial.state],
        "step": known.get(STEP, trial.last_step or 0),
        # A loss that is swept keeps its column.
        **{_column(name, plan): value for name, value in metrics.items()},
        "within_limit": limit is None or metrics.get(KL, 0.0) <= limit,
        "front": in_front,
        "seconds": known.get(SECONDS),
        "reason": known.get(REASON, ""),
        "folder": str(plan.folder(trial.number, trial.params)),
    }


def _column(metric: str, plan: Plan) -> str:
    """The column of a held-out metric: without its prefix, unless a setting has that name."""
    name = metric.removeprefix(PREFIX)
    return metric if name in plan.names else name


def combinations_table(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a combination of settings, the best first: `runs` that finished, mean of the metric
    with its standard error over seeds, mean KL, `within_limit`, and `failed`, the runs that were
    pruned or failed. A combination of which a run failed, or that is beyond the limit, comes after
    those without."""
    metric = _column(plan.study.resolved_metric(plan.config.data), plan)
    kl = _column(KL, plan)
    if not len(runs):
        return pd.DataFrame()
    rows = []
    for values, group in runs.groupby(list(plan.axes), sort=False, dropna=False):
        done = group[group["state"] == "finished"]
        found = done[metric] if metric in done else pd.Series(dtype=float)
        measured = done[kl].mean() if kl in done else float("nan")
        limit = plan.study.kl_limit
        rows.append(
            {
                **dict(zip(plan.axes, values, strict=True)),
                "runs": len(done),
                "mean": found.mean(),
                "error": found.sem() if len(found) > 1 else float("nan"),
                "kl": measured,
                "within_limit": limit is None or not measured > limit,
                "failed": int(group["state"].isin(["failed", "pruned"]).sum()),
            }
        )
    table = pd.DataFrame(rows)
    upwards = plan.study.directions(plan.config.data)[0] == "minimize"
    last = (table["failed"] > 0) | ~table["within_limit"] | (table["runs"] == 0)
    order = table.assign(last=last).sort_values(
        ["last", "mean"], ascending=[True, upwards], kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True)


def run_to_take(plan: Plan, runs: pd.DataFrame) -> pd.Series | None:
    """The best run of the best combination; None where no run finished within the limit."""
    table = combinations_table(plan, runs)
    if not len(table) or not table["runs"][0] or not table["within_limit"][0]:
        return None
    same = (runs[list(plan.axes)] == table.loc[0, list(plan.axes)]).all(axis=1)
    metric = _column(plan.study.resolved_metric(plan.config.data), plan)
    found = runs[same & (runs["state"] == "finished")].sort_values(metric, kind="stable")
    downwards = plan.study.directions(plan.config.data)[0] == "minimize"
    return found.iloc[0 if downwards else -1]
