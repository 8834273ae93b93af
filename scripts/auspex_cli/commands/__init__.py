"""One command of `./auspex` a file: `run(arguments)`, and a doc text whose first line is its line in `./auspex help`."""
