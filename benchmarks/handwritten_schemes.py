"""The scripts that a person would write, one a scheme: load the default model, convert it, evaluate the result.

    python benchmarks/handwritten_schemes.py SCHEME OUTPUT.tflite [COUNT ENGINE]

TFLiteConverter makes what it has, the LiteRT quantizer the rest, each in its documented way, unless one of them is
named (`converter` or `litert`); COUNT images calibrate. Prints top-1 on the 2,000 test images. `benchmarks/sweep.py`
and `benchmarks/grid.py` time it as the yardstick.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

ASSETS = Path(__file__).parent.parent / "tflbuild" / "assets" / "fashion_mobilenet"
CONVERTER = ("none", "float16", "dynamic_int8", "int8", "int16x8", "int8_per_tensor")
WIDE = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8


def load_images(name):
    with np.load(ASSETS / f"{name}.npz") as archive:
        return archive["image"].astype(np.float32), archive.get("label")


def convert(model, scheme, images):
    """TFLiteConverter alone."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if scheme != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme in ("int8", "int16x8", "int8_per_tensor"):
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [WIDE if scheme == "int16x8" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int16 if scheme == "int16x8" else tf.int8
    if scheme == "int8_per_tensor":
        converter._experimental_disable_per_channel = True
    return converter.convert()


def quantize(model, scheme, images):
    """A float model, and the LiteRT quantizer on it."""
    from litert_quantizer import qtyping, quantizer
    from litert_quantizer.algorithm_manager import AlgorithmName

    made = quantizer.Quantizer(bytearray(convert(model, "none", images)))
    every = qtyping.TFLOperationName.ALL_SUPPORTED
    algorithm = {"int8_octav": AlgorithmName.OCTAV, "int8_mse": AlgorithmName.MSE}.get(
        scheme, AlgorithmName.MIN_MAX_UNIFORM_QUANT
    )
    bits = 4 if scheme.endswith("int4") else 8
    demands = [] if scheme == "float16" else [(every, 8)]
    if scheme == "float16":
        made.add_weight_only_config(".*", every, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    if bits == 4:  # int4 where there are kernels, int8 elsewhere
        demands += [(qtyping.TFLOperationName.CONV_2D, 4), (qtyping.TFLOperationName.FULLY_CONNECTED, 4)]
    for operation, width in demands:
        if scheme.startswith("dynamic"):
            made.add_dynamic_config(".*", operation, width, algorithm_key=algorithm)
        elif scheme.startswith("weight_only"):
            made.add_weight_only_config(".*", operation, width, algorithm_key=algorithm)
        else:
            made.add_static_config(".*", operation, 8, width, algorithm_key=algorithm)
    ranges = None
    if made.need_calibration:
        ranges = made.calibrate({"serving_default": [{"image": image[None]} for image in images]})
    return bytes(made.quantize(ranges).quantized_model)


def evaluate(path, images, labels):
    """Top-1 of the artifact, one image after the other."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    if scale:
        limits = np.iinfo(given["dtype"])
        images = np.clip(np.round(images / scale) + zero, limits.min, limits.max).astype(given["dtype"])
    right = 0
    for image, label in zip(images, labels, strict=True):
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(taken["index"])[0].argmax() == label)
    return right / len(labels)


def main():
    scheme, path = sys.argv[1], Path(sys.argv[2])
    count, engine = (int(sys.argv[3]), sys.argv[4]) if len(sys.argv) > 3 else (256, "")
    converts = engine == "converter" if engine and scheme != "none" else scheme in CONVERTER
    model = tf.keras.models.load_model(ASSETS / "model.keras")
    images, _ = load_images("calibration")
    path.write_bytes((convert if converts else quantize)(model, scheme, images[:count]))
    print(f"{scheme}  {path.stat().st_size} bytes  top-1 {evaluate(path, *load_images('evaluation')):.4f}")


if __name__ == "__main__":
    main()
