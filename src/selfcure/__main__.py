"""``python -m selfcure``."""

from selfcure.cli import main

main()
