"""A file looked through for a run: what is wrong in it, and what the run would take."""

from __future__ import annotations

from dataclasses import replace

from workbench.data.preflight import Report
from workbench.data.preflight.finding import Finding
from workbench.errors import WorkbenchError
from workbench.runs.forecast.forecast import Forecast, forecast
from workbench.runs.forecast.short_run import no_forecast
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.file_checks.check_file import check_file


def before_run(
    config: TrainConfig, quick: bool = False, progress: Progress | None = None
) -> tuple[Report, Forecast | None]:
    """What a preflight finds in the file that `config` names, and the forecast of its run.

    The forecast is told in the report's notes, and so is the reason where there can be none.
    Settings with which the run cannot be started are a finding.

    Args:
        config: of the run.
        quick: leave out what needs the model itself: its pass over some pairs, and the forecast.
        progress: called with what is being done and the share done (0 to 1).

    Raises:
        WorkbenchError: the file cannot be used, or there is no such model.
    """
    tell = progress or (lambda text, share: None)
    tell("checking every row" + ("" if quick else ", and some with the model"), 0.0)
    report = check_file(
        config.data, config.model, config.max_length, config.reading, config.allow_special, quick
    )
    if quick or not report.pairs:
        return report, None
    if why := no_forecast(config):
        return replace(report, notes=(*report.notes, f"no forecast: {why}")), None
    tell("forecasting by a short run", 0.5)
    try:
        expected = forecast(config)
    except WorkbenchError as error:
        finding = Finding(
            "the run cannot be started", True, (), str(error), "change what is named; a short run "
            "with these settings ended so",
        )  # fmt: skip
        return replace(report, findings=(*report.findings, finding)), None
    return replace(report, notes=(*report.notes, expected.line)), expected
