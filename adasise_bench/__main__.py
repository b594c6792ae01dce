"""Run the command line as ``python -m adasise_bench``."""

from adasise_bench.cli import main

if __name__ == "__main__":
    main()
