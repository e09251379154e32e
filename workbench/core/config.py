"""The names that core's settings accept; reading them loads no torch."""

LAYOUTS = ("stacked", "shared_prefix", "packed")
KERNELS = ("fast", "plain", "unmeasured")
