"""`python -m trackpools`."""

from trackpools.cli import main

main()
