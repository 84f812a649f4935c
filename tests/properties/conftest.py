"""How many examples: 2,000, the same ones each time; with FUZZ set to a number that many, others each time."""

import os

from hypothesis import HealthCheck, settings

FUZZ = int(os.environ.get("FUZZ", "0"))

settings.register_profile(
    "quotapath",
    max_examples=FUZZ or 2000,
    derandomize=not FUZZ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=False,
)
settings.load_profile("quotapath")
