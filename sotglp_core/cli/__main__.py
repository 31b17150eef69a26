"""``python -m sotglp_core.cli``."""

from . import main

main()
