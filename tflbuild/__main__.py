"""`python -m tflbuild`: the command line."""

from tflbuild.cli import main

if __name__ == "__main__":
    main()
