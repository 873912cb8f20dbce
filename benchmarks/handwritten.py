"""The script that a person would write: the default model as int8, with TFLiteConverter alone.

    python benchmarks/handwritten.py OUTPUT.tflite

It verifies nothing. `benchmarks/run.py` times it as the yardstick.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

ASSETS = Path(__file__).parent.parent / "tflbuild" / "assets" / "fashion_mobilenet"


def main():
    model = tf.keras.models.load_model(ASSETS / "model.keras")
    images = np.load(ASSETS / "calibration.npz")["image"].astype(np.float32)

    def representative_dataset():
        for image in images:
            yield [image[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    Path(sys.argv[1]).write_bytes(converter.convert())


if __name__ == "__main__":
    main()
