"""All runs of a sweep as one table, and which of them to take."""

from __future__ import annotations

from typing import Any

import optuna
import pandas as pd
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from workbench.runs.study.config import KL, PREFIX
from workbench.runs.study.plan import Plan
from workbench.runs.study.trial_run import OUTCOME, REASON

STATES = {
    TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
    TrialState.RUNNING: "begun", TrialState.WAITING: "waiting",
}  # fmt: skip


def runs_table(plan: Plan, study: Study) -> pd.DataFrame:
    """One row a run that has begun, by its number: the settings that were swept, `state`, `step`,
    every held-out metric of its last evaluation without `held_out/`, `within_limit`, `seconds`,
    `reason` (why it failed) and `folder`."""
    trials = study.get_trials(deepcopy=False)
    rows = [_row(plan, one) for one in trials if one.params.keys() == plan.axes.keys()]
    first = ["run", *plan.names, "state", "step"]
    last = ["within_limit", "seconds", "reason", "folder"]
    metrics = dict.fromkeys(name for row in rows for name in row if name not in {*first, *last})
    return pd.DataFrame(rows, columns=[*first, *metrics, *last])


def _row(plan: Plan, trial: FrozenTrial) -> dict[str, Any]:
    outcome, limit = trial.user_attrs.get(OUTCOME, {}), plan.study.kl_limit
    metrics: dict[str, float] = outcome.get("metrics", {})
    return {
        "run": trial.number,
        **plan.settings(trial.number, trial.params),
        "state": STATES[trial.state],
        "step": outcome.get("step", trial.last_step or 0),
        # A loss that is swept keeps its column.
        **{column_of(name, plan): value for name, value in metrics.items()},
        "within_limit": limit is None or metrics.get(KL, 0.0) <= limit,
        "seconds": outcome.get("seconds"),
        "reason": trial.user_attrs.get(REASON, ""),
        "folder": str(plan.folder(trial.number, trial.params)),
    }


def column_of(metric: str, plan: Plan) -> str:
    """The column of a held-out metric: without its prefix, unless a setting has that name."""
    name = metric.removeprefix(PREFIX)
    return metric if name in plan.names else name


def metric_columns(plan: Plan) -> tuple[str, str]:
    """The columns of the sweep's metric and of the KL."""
    return column_of(plan.study.resolved_metric(plan.config.data), plan), column_of(KL, plan)


def pareto_front(plan: Plan, runs: pd.DataFrame) -> list[int]:
    """The runs, by number, that no other one within the limit surpasses in both the metric and the
    KL; in the order of the KL."""
    metric, kl = metric_columns(plan)
    if kl not in runs or metric not in runs or metric == kl:
        return []
    done = runs[(runs["state"] == "finished") & runs["within_limit"]].dropna(subset=[metric, kl])
    direction = plan.study.directions(plan.config.data)[0]
    study = optuna.create_study(directions=[direction, "minimize"])
    study.add_trials(
        optuna.trial.create_trial(values=[row[metric], row[kl]], user_attrs={"run": row["run"]})
        for row in done.to_dict("records")
    )
    front = {trial.user_attrs["run"] for trial in study.best_trials}
    return [number for number in done.sort_values(kl)["run"] if number in front]


def combinations_table(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a combination of settings, the best first: `runs` that finished, mean of the metric
    with its standard error over seeds, mean KL, `within_limit`, and `failed`, the runs that were
    pruned or failed. A combination of which a run failed, or that is beyond the limit, comes after
    those without. What a sampler drew twice with one seed is one run: the second is its copy."""
    metric, kl = metric_columns(plan)
    if not len(runs):
        return pd.DataFrame()
    rows = []
    axes = list(plan.axes)
    for values, group in runs.groupby(axes, sort=False) if axes else [((), runs)]:
        done = group[group["state"] == "finished"].drop_duplicates("seed")
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
    metric, _ = metric_columns(plan)
    done = runs["within_limit"] & (runs["state"] == "finished")
    found = runs[same & done].sort_values(metric, kind="stable")
    downwards = plan.study.directions(plan.config.data)[0] == "minimize"
    return found.iloc[0 if downwards else -1]
