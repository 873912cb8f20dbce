"""Artifacts that are not what a script asked for, made as careless scripts make them: make_lies.py FOLDER.

For each, NAME.tflite is the float model, whose description names it, and NAME.made.tflite what the script got from
TFLiteConverter or the LiteRT quantizer without a word of warning. Also `sine/`, a SavedModel.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils
from litert_quantizer import qtyping, quantizer

folder = Path(sys.argv[1])
random = np.random.default_rng(1)
images = random.normal(size=(20, 8, 8, 3)).astype(np.float32)
np.savez(folder / "samples.npz", image=images, x=random.normal(size=(20, 8)).astype(np.float32))
np.savez(folder / "empty.npz", image=images[:0])
INT8 = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
WIDE = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
Operation = qtyping.TFLOperationName

IMAGE = tf.TensorSpec((1, 8, 8, 3), tf.float32, name="image")


def weights(*shape):
    return tf.Variable(random.normal(size=shape).astype(np.float32))


class Net(tf.Module):
    """What has kernels of every kind."""

    def __init__(self):
        super().__init__()
        self.filters, self.depths, self.last = weights(3, 3, 3, 48), weights(5, 5, 48, 1), weights(192, 8)

    @tf.function(input_signature=[IMAGE])
    def call(self, image):
        wide = tf.nn.relu(tf.nn.conv2d(image, self.filters, 1, "VALID"))
        deep = tf.nn.relu(tf.nn.depthwise_conv2d(wide, self.depths, (1, 1, 1, 1), "VALID"))
        return {"scores": tf.reshape(deep, (1, 192)) @ self.last}


class Distance(tf.Module):
    """The converter makes an int16 SQUARED_DIFFERENCE of it, which no runtime has."""

    def __init__(self):
        super().__init__()
        self.left, self.right = weights(192, 8), weights(192, 8)

    @tf.function(input_signature=[IMAGE])
    def call(self, image):
        flat = tf.reshape(image, (1, 192))
        return {"scores": tf.math.squared_difference(flat @ self.left, flat @ self.right)}


class Sine(tf.Module):
    """An operator that no int8 kernel has, between two that have one."""

    def __init__(self):
        super().__init__()
        self.one, self.other = weights(8, 8), weights(8, 8)

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="x")])
    def call(self, x):
        return {"y": tf.sin(x @ self.one) @ self.other}


for name, module in (("net", Net()), ("distance", Distance()), ("sine", Sine())):
    tf.saved_model.save(module, str(folder / name), signatures={"serving_default": module.call})


def converter(model="net", **settings):
    """TFLiteConverter with data, optimized, and with what a script sets besides."""
    made = tf.lite.TFLiteConverter.from_saved_model(str(folder / model))
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = lambda: ([image[None]] for image in images)
    made.inference_input_type = made.inference_output_type = tf.float32
    for key, value in settings.items():
        setattr(made.target_spec if key.startswith("supported") else made, key, value)
    return made


def integer(**settings):
    """What a script sets for int8 from border to border."""
    wanted = {"supported_ops": INT8, "inference_input_type": tf.int8, "inference_output_type": tf.int8}
    return converter(**{**wanted, **settings})


def make_float(model="net"):
    return tf.lite.TFLiteConverter.from_saved_model(str(folder / model)).convert()


def denylist(made):
    """The debugger takes a layer out, and hands back a model with borders of its own."""
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["FULLY_CONNECTED"])
    data = converter().representative_dataset
    debugger = tf.lite.experimental.QuantizationDebugger(converter=made, debug_dataset=data, debug_options=options)
    return debugger.get_nondebug_quantized_model()


def quantize(ask):
    """The LiteRT quantizer, told what by `ask`."""
    made = quantizer.Quantizer(bytearray(make_float()))
    ask(made)
    samples = {"serving_default": [{"image": image[None]} for image in images]}
    ranges = made.calibrate(samples) if made.need_calibration else None
    return bytes(made.quantize(ranges).quantized_model)


def int8_then(regex, operation, bits):
    """int8 for all, then something else for what a regular expression finds."""

    def ask(made):
        made.add_static_config(".*", Operation.ALL_SUPPORTED, 8, 8)
        made.add_static_config(regex, operation, bits, 8)

    return ask


MADE = {
    "truth": lambda: integer().convert(),
    "optimizations": lambda: integer(
        optimizations=[], inference_input_type=tf.float32, inference_output_type=tf.float32
    ).convert(),
    "no_samples": lambda: converter(representative_dataset=lambda: iter(())).convert(),
    "float16": lambda: converter(supported_types=[tf.float16]).convert(),
    "borders": lambda: converter(supported_ops=INT8).convert(),
    "one_border": lambda: integer(inference_output_type=tf.float32).convert(),
    "misspelt": lambda: integer(denylisted_ops=["FULLY_CONNECTED"]).convert(),
    "debugger": lambda: denylist(integer()),
    "kernel": lambda: converter("distance", supported_ops=WIDE).convert(),
    "unverified": lambda: converter("distance", supported_ops=WIDE).convert(),
    "int4": lambda: quantize(lambda made: made.add_static_config(".*", Operation.ALL_SUPPORTED, 8, 4)),
    "blocks": lambda: quantize(
        lambda made: made.add_dynamic_config(".*", Operation.ALL_SUPPORTED, 4, qtyping.QuantGranularity.BLOCKWISE_32)
    ),
    "nowhere": lambda: quantize(int8_then("^the_conv;", Operation.CONV_2D, 16)),
}
for name, make in MADE.items():
    root = flatbuffer_utils.read_model_from_bytearray(
        bytearray(make_float("distance" if name in ("kernel", "unverified") else "net"))
    )
    root.description = f"lie:{name};".encode()
    (folder / f"{name}.tflite").write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(root)))
    try:
        (folder / f"{name}.made.tflite").write_bytes(make())
    except (RuntimeError, ValueError) as error:
        print(f"{name}: {error}")
