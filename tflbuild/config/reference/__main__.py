"""`python -m tflbuild.config.reference --write|--check`: the texts that are generated from code."""

from tflbuild.config.reference.generated_texts import main

if __name__ == "__main__":
    main()
