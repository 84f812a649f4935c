"""`make chaos`: a campaign of ROUNDS rounds from SEED on; FIRST begins with that company."""

import os
import random
import sys
import time

from tests.chaos.campaign import Broken, campaign


def main() -> int:
    """Returns the exit status."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    rounds, first = int(os.environ.get("ROUNDS") or 200), int(os.environ.get("FIRST") or 1)
    print(f"make chaos SEED={seed} ROUNDS={rounds} FIRST={first}", flush=True)
    began = time.monotonic()
    try:
        report = campaign(
            seed, rounds, first, lambda text: print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)
        )
    except Broken as broken:
        print(broken)
        return 1
    print(f"{report}\nEverything holds, after {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
