"""The models of the matrix: one file or folder each, made in a process of its own: matrix_models.py FOLDER.

Also a user's module, for the sources that are code: nets.py in the same folder.
"""

import shutil
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

folder = Path(sys.argv[1])
shutil.copy(Path(__file__).with_name("matrix_nets.py"), folder / "nets.py")
sys.path.insert(0, str(folder))
import nets  # noqa: E402  (the copy that the recipes name)

random = np.random.default_rng(1)


def export(module, name, **signatures):
    tf.saved_model.save(module, str(folder / name), signatures=signatures or None)


keras.utils.set_random_seed(1)
nets.functional().save(folder / "functional.keras")
nets.subclassed_built().save(folder / "subclassed.keras")
nets.lookup().save(folder / "lookup.keras")
nets.functional().save_weights(folder / "functional.weights.h5")
nets.image().export(folder / "exported", verbose=False)
export(nets.Codec(), "unsigned")

with tarfile.open(folder / "hub.tar.gz", "w:gz") as archive:
    for path in sorted((folder / "exported").rglob("*")):
        archive.add(path, path.relative_to(folder / "exported"), recursive=False)

with tf.Graph().as_default(), tf.compat.v1.Session() as session:  # a SavedModel as TensorFlow 1 wrote them
    x = tf.compat.v1.placeholder(tf.float32, [None, 8], name="x")
    weights = tf.compat.v1.get_variable("w", initializer=random.normal(size=(8, 4)).astype(np.float32))
    y = tf.nn.relu(tf.matmul(x, weights), name="y")
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.saved_model.simple_save(session, str(folder / "tf1"), inputs={"x": x}, outputs={"y": y})

text = tf.lite.TFLiteConverter.from_saved_model(str(folder / "exported")).convert()
(folder / "image.tflite").write_bytes(text)

arrays = {"x": (24, 8), "image": (24, 16, 16, 3), "sequence": (24, 10, 4), "tokens": (24, 12, 16), "z": (24, 2)}
samples = {name: random.normal(size=shape).astype(np.float32) for name, shape in arrays.items()}
samples["word"] = np.array([["yes"], ["no"], ["maybe"], [""]] * 6)
samples["target"] = random.normal(size=(24, 2)).astype(np.float32)
samples["face"] = random.uniform(0, 1, (24, 64, 64, 1)).astype(np.float32)
samples["audio"] = random.uniform(-1, 1, (4, 43844, 1)).astype(np.float32)
audio = samples.pop("audio")
np.savez(folder / "samples.npz", **samples)
np.savez(folder / "audio.npz", input_2=audio)
np.savez(folder / "photos.npz", image=random.uniform(-1, 1, (6, 96, 96, 3)).astype(np.float32))
