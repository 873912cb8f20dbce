"""The outbuilding: the only rooms that import TensorFlow, Keras, LiteRT or NumPy.

Nothing in tflbuild imports these modules; they run in the processes of `workers.server` and are
reached by files: `input.json` in, outputs and `output.json` out.
"""
