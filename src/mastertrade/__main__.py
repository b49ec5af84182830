"""``python -m mastertrade`` is the command ``mastertrade``."""

from mastertrade.cli import main

if __name__ == "__main__":
    main()
