"""What is wrong or suspicious in a file of pairs, found before the first step."""

from workbench.data.preflight.examine import Report as Report
from workbench.data.preflight.examine import examine as examine
from workbench.data.preflight.examine import preflight as preflight
