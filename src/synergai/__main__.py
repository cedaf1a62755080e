"""`python -m synergai` is the console command."""

from synergai.cli import main

if __name__ == "__main__":
    main()
