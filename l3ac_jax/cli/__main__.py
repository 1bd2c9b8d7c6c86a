"""`python -m l3ac_jax.cli`, the same as `l3ac-jax`."""

import sys

from l3ac_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
