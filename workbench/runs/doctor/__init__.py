"""What a run suffers from, with the evidence and the next thing to try; no model is loaded.

* `logged_metrics`: what a run has logged, in one form; `run_readings`, `trl_readings`: of a folder
  or a run that still trains, and of TRL's `trainer_state.json`; `parts`: the texts of its data.
* `symptoms_start`, `symptoms_data`, `symptoms_texts`: a function per symptom.
* `diagnose`: all of them on one run.
"""

from workbench.runs.doctor.diagnose import Report as Report
from workbench.runs.doctor.diagnose import diagnose as diagnose
from workbench.runs.doctor.diagnosis import Diagnosis as Diagnosis
