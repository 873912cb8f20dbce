"""Models as a user would write them, and a script that saves them: make_sources.py FOLDER.

FOLDER gets this file as nets.py too, for the recipes whose source is code, and expected.npz: what the
models themselves give for samples.npz, computed without tflbuild.
"""

import importlib
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers

COUNT = 23
MEAN, STD, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.00392156862745098


def random_weights(*shape):
    return tf.Variable(np.random.default_rng(7).normal(size=shape).astype(np.float32))


# Keras models


def dense(units=4):
    keras.utils.set_random_seed(1)
    x = keras.Input((8,), name="x")
    hidden = layers.Dense(16, activation="relu", name="hidden")(x)
    return keras.Model(x, {"scores": layers.Dense(units, name="scores")(hidden)})


def two_heads():
    model = dense()
    return keras.Model(model.input, {**model.output, "hidden": model.get_layer("hidden").output})


def image():
    keras.utils.set_random_seed(2)
    pixels = keras.Input((8, 8, 3), name="image")
    features = layers.Conv2D(4, 3, strides=2, activation="relu")(pixels)
    return keras.Model(pixels, {"scores": layers.Dense(5)(layers.GlobalAveragePooling2D()(features))})


def image_of_any_size():
    keras.utils.set_random_seed(2)
    pixels = keras.Input((None, None, 3), name="image")
    features = layers.Conv2D(4, 3, strides=2, activation="relu")(pixels)
    return keras.Model(pixels, {"scores": layers.Dense(5)(layers.GlobalAveragePooling2D()(features))})


def convolution():
    keras.utils.set_random_seed(3)
    sequence = keras.Input((None, 4), name="sequence")
    features = layers.Conv1D(6, 3, padding="same", activation="relu")(sequence)
    return keras.Model(sequence, {"scores": layers.Dense(2)(features)})


def recurrent(layer):
    keras.utils.set_random_seed(4)
    steps = keras.Input((10, 4), name="steps")
    return keras.Model(steps, {"scores": layers.Dense(2)(layer(6)(steps))})


def lstm():
    return recurrent(layers.LSTM)


def gru():
    return recurrent(layers.GRU)


class Subclassed(keras.Model):
    def __init__(self, units=3, **options):
        super().__init__(**options)
        self.units = units
        self.inner = layers.Dense(units)

    def call(self, x):
        return tf.nn.relu(self.inner(x))

    @tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
    def embed(self, x):
        return {"embedding": self.inner(x)}

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def subclassed():
    keras.utils.set_random_seed(5)
    return Subclassed()


class Gate(layers.Layer):
    def call(self, x):
        return x * tf.sigmoid(x)


class Gates(layers.Layer):
    """Makes its part of what the file says, and wants it to be a Gate."""

    def __init__(self, gate=None, **options):
        super().__init__(**options)
        self.gate = gate or Gate()
        assert isinstance(self.gate, Gate), "this is another Gate"

    def call(self, x):
        return self.gate(self.gate(x))

    def get_config(self):
        return {**super().get_config(), "gate": keras.saving.serialize_keras_object(self.gate)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "gate": keras.saving.deserialize_keras_object(config["gate"])})


def leaky(x):
    return tf.maximum(x, 0.1 * x)


def sequential(*added):
    keras.utils.set_random_seed(6)
    return keras.Sequential([keras.Input((8,), name="x"), *added, layers.Dense(3, name="y")])


def doubled():
    return sequential(layers.Lambda(lambda x: x * 2.0, name="double"))


def open_sequential():
    """Built by nothing: it takes its input's shape from the first call."""
    return keras.Sequential([layers.Dense(5, activation="relu", name="h"), layers.Dense(3, name="y")])


# functions and modules


@tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
def halved(x):
    return {"y": x * 0.5}


@tf.function
def weighed(x, z):
    return {"y": x * tf.reduce_sum(z, -1, keepdims=True)}


def closure():
    """Nothing but the function knows the model's variables."""
    model = dense()

    @tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
    def scale(x):
        return {"scaled": 2.0 * model(x, training=False)["scores"]}

    return scale


class Codec(tf.Module):
    """Two functions, and no signature."""

    def __init__(self):
        super().__init__()
        self.basis = random_weights(8, 2)

    @tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
    def encode(self, x):
        return {"z": tf.tanh(x @ self.basis)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), name="z")])
    def decode(self, z):
        return {"x": z @ tf.transpose(self.basis)}


class Caller(tf.Module):
    """Its call is all there is, and does something else in training."""

    def __init__(self):
        super().__init__()
        self.basis = random_weights(8, 3)

    @tf.function
    def __call__(self, x, training=False):
        return {"y": (x @ self.basis) * (100.0 if training else 1.0)}


def new_table():
    content = tf.lookup.KeyValueTensorInitializer(tf.constant(["yes", "no"]), tf.constant([1, 2], tf.int64))
    return tf.lookup.StaticHashTable(content, 0)


class Words(tf.Module):
    """A table and a variable."""

    def __init__(self):
        super().__init__()
        self.table = new_table()
        self.vectors = random_weights(3, 4)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def look(self, word):
        index = self.table.lookup(word)
        return {"index": index, "vector": tf.gather(self.vectors, index)}


def ownerless():
    table = new_table()

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def look(word):
        return {"index": table.lookup(word)}

    return look


class Best(tf.Module):
    """Two functions that differ in nothing but which output of one operator they give."""

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.int32, name="counts")])
    def values(self, counts):
        return {"best": tf.math.top_k(counts, 3).values}

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.int32, name="counts")])
    def indices(self, counts):
        return {"best": tf.math.top_k(counts, 3).indices}


class Mixed(tf.Module):
    """Outputs that are not one row a sample, or not of that sample alone."""

    def __init__(self):
        super().__init__()
        self.anchors = random_weights(8, 3)

    @tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
    def serve(self, x):
        centred = x - 0.5 * tf.reduce_mean(x, 0, keepdims=True)
        return {"centred": centred, "anchors": 2.0 * self.anchors, "total": tf.reduce_sum(x)}


class Learner(tf.Module):
    """Signatures over one state; the last two read and write files, which TFLite has no operators for."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(tf.ones((8, 2)))

    @tf.function(input_signature=[tf.TensorSpec((1, 8), name="x"), tf.TensorSpec((1, 2), name="target")])
    def train(self, x, target):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((x @ self.weights - target) ** 2)
        self.weights.assign_sub(0.05 * tape.gradient(loss, self.weights))
        return {"loss": loss}

    @tf.function(input_signature=[tf.TensorSpec((1, 8), name="x")])
    def infer(self, x):
        return {"estimate": x @ self.weights}

    @tf.function(input_signature=[tf.TensorSpec((1, 8), name="x")])
    def pool(self, x):
        cube = tf.nn.avg_pool3d(tf.reshape(x, (1, 2, 2, 2, 1)), 2, 1, "SAME")
        return {"pooled": tf.reshape(cube, (1, 8)) @ self.weights}

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, name="path")])
    def save(self, path):
        tf.raw_ops.Save(filename=path, tensor_names=["weights"], data=[self.weights.read_value()])
        return {"path": path}

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, name="path")])
    def restore(self, path):
        value = tf.raw_ops.Restore(file_pattern=path, tensor_name="weights", dt=tf.float32)
        self.weights.assign(tf.ensure_shape(value, (8, 2)))
        return {"weights": self.weights.read_value()}


# code that goes wrong, or reads more than its imports


class Broken(tf.Module):
    def infer(self, x):
        return {"y": tf.matmul(x, tf.zeros((3, 3)))}

    @tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
    def fixed(self, x):
        return {"y": tf.matmul(x, tf.zeros((3, 3)))}


def gives_nothing():
    dense()


def gives_a_list():
    return [dense()]


def fails():
    return fail_deeper()


def fail_deeper():
    raise RuntimeError("there are no weights")


def exits():
    sys.exit("no model today")


def reads_a_file():
    return dense(int(Path("units.txt").read_text()))


def reads_beside_itself():
    return dense(int(Path(__file__).resolve().with_name("units.txt").read_text()))


def imports_a_computed_name():
    return dense(importlib.import_module("plugins." + "wide").UNITS)


# the script


def save_all(folder):
    shutil.copy(__file__, folder / "nets.py")
    sys.path.insert(0, str(folder))
    nets = importlib.import_module("nets")  # so that what is saved is a class of the user's module
    model = nets.dense()
    model.save(folder / "dense.keras")
    keras.saving.load_model(folder / "dense.keras").save(folder / "again.keras")
    model.export(folder / "dense", verbose=False)
    model.save_weights(folder / "dense.weights.h5")
    nets.dense(6).save_weights(folder / "wide.weights.h5")
    subclassed = nets.subclassed()
    subclassed(np.zeros((1, 8), np.float32))
    subclassed.save(folder / "subclassed.keras")
    subclassed.save_weights(folder / "subclassed.weights.h5")
    for suffix in ("keras", "h5"):
        nets.sequential(nets.Gate()).save(folder / f"gate.{suffix}")
        nets.doubled().save(folder / f"doubled.{suffix}")
    nets.sequential(nets.Gates()).save(folder / "gates.keras")
    nets.sequential(layers.Dense(5, activation=nets.leaky)).save(folder / "leaky.keras")
    nets.open_sequential().save(folder / "open.keras")
    tf.saved_model.save(nets.Codec(), str(folder / "codec"))
    caller = nets.Caller()
    for training, batch in ((True, None), (False, 2), (False, None)):
        caller.__call__.get_concrete_function(tf.TensorSpec((batch, 8), name="x"), training)
    tf.saved_model.save(caller, str(folder / "caller"))
    words = nets.Words()
    tf.saved_model.save(words, str(folder / "words"), signatures={"serving_default": words.look})
    save_old_keras(folder / "old.h5")
    return nets


def save_old_keras(path):
    """Its DepthwiseConv2D has a `groups` that Keras 3 does not know."""
    import tf_keras

    old = tf_keras.layers
    pixels = old.Input((8, 8, 3), name="image")
    features = old.Flatten()(old.DepthwiseConv2D(3)(pixels))
    tf_keras.Model(pixels, old.Dense(4, name="scores")(features)).save(path, save_format="h5")


def save_tf1(folder, kind, count):
    """A SavedModel as TensorFlow 1 wrote them, with reference variables, then as its last releases did."""
    v1 = tf.compat.v1
    random = np.random.default_rng(8)
    with tf.Graph().as_default(), v1.Session() as session:
        weights = v1.get_variable(
            "w", initializer=random.normal(size=(count, 4)).astype(np.float32), use_resource=kind == "tf1_words"
        )
        if kind == "tf1":
            feed = v1.placeholder(tf.float32, [None, count], name="x")
            result = tf.nn.relu(tf.matmul(feed, weights))
        else:
            content = v1.lookup.KeyValueTensorInitializer(tf.constant(["yes", "no"]), tf.constant([1, 2], tf.int64))
            feed = v1.placeholder(tf.string, [None], name="word")
            result = tf.gather(weights, v1.lookup.StaticHashTable(content, 0).lookup(feed))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder / kind))
        name = feed.op.name
        signature = v1.saved_model.predict_signature_def({name: feed}, {"y": result})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=v1.tables_initializer()
        )
        builder.save()
        return {f"{kind}/y": session.run(result, {feed: SAMPLES[name]})}


def make_samples():
    random = np.random.default_rng(9)
    shapes = {"x": (8,), "z": (2,), "target": (2,), "sequence": (20, 4), "steps": (10, 4)}
    samples = {name: random.normal(size=(COUNT, *shape)).astype(np.float32) for name, shape in shapes.items()}
    pixels = {"image": (8, 8, 3), "photo": (12, 10, 3)}
    samples |= {name: random.integers(0, 256, (COUNT, *shape)).astype(np.uint8) for name, shape in pixels.items()}
    samples["planes"] = np.ascontiguousarray(samples["image"].transpose(0, 3, 1, 2))
    samples["counts"] = random.permuted(np.arange(6 * COUNT, dtype=np.int32).reshape(COUNT, 6), axis=1)
    samples["word"] = np.array(["yes", "no", "maybe", "", "d\u00e9j\u00e0 vu"])[np.arange(COUNT) % 5]
    return samples


SAMPLES = make_samples()


def normalised(pixels):
    return ((pixels.astype(np.float64) * SCALE - MEAN) / STD).astype(np.float32)


def expect(nets):
    """Model/output -> its values for all samples, one sample at a time where the batch counts."""
    x, word = tf.constant(SAMPLES["x"]), tf.constant(SAMPLES["word"])
    resized = tf.image.resize(SAMPLES["photo"].astype(np.float32), (8, 8), "bilinear").numpy()
    eye, words, caller, best, mixed = nets.image(), nets.Words(), nets.Caller(), nets.Best(), nets.Mixed()
    found = {
        "dense": nets.dense()(x),
        "closure": {"scaled": 2.0 * nets.dense()(x)["scores"]},
        "words": words.look(word),
        "caller": caller(x),
        "pixels": eye(normalised(SAMPLES["image"])),
        "resized": eye(normalised(resized)),
        "values": best.values(tf.constant(SAMPLES["counts"])),
        "indices": best.indices(tf.constant(SAMPLES["counts"])),
        "mixed": {"centred": np.concatenate([mixed.serve(one[None])["centred"] for one in SAMPLES["x"]])},
        "lstm": nets.lstm()(SAMPLES["steps"]),
    }
    return {f"{model}/{name}": np.asarray(value) for model, outputs in found.items() for name, value in outputs.items()}


def main():
    folder = Path(sys.argv[1])
    expected = expect(save_all(folder))
    expected |= save_tf1(folder, "tf1", 8) | save_tf1(folder, "tf1_words", 3)
    np.savez(folder / "samples.npz", **SAMPLES)
    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main()
