"""``python -m licframe`` is ``licframe``."""

from licframe.cli import main

main()
