"""Keras files that lead elsewhere, are two files at once, or are larger than they are."""

from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pytest
from strangers import functional, layer, write_h5, write_keras

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.foreign_models.keras_file import open_keras_file, require_contained_weights

MODEL = functional(layer("Dense", "dense", units=2))


def add_external_link(file, folder):
    with h5py.File(folder / "secret.h5", "w") as other:
        other["secret"] = np.ones(3)
    file["model_weights/dense"] = h5py.ExternalLink(str(folder / "secret.h5"), "/secret")


def add_external_bytes(file, folder):
    (folder / "secret").write_bytes(b"password" * 4)
    file.create_dataset("model_weights/dense", (8,), "f4", external=[(str(folder / "secret"), 0, 32)])


def add_virtual(file, folder):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "secret", (3,))
    file.create_virtual_dataset("model_weights/dense", layout)


def add_bomb(file, _):
    file.create_dataset("model_weights/dense", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


HOSTILE_HDF5 = {
    add_external_link: "is a link into another file",
    add_external_bytes: "has its bytes in another file",
    add_virtual: "is a virtual dataset",
    add_bomb: "unpacks to",
}


@pytest.mark.parametrize("archive", [False, True], ids=["h5", "keras"])
@pytest.mark.parametrize("plant", HOSTILE_HDF5, ids=lambda plant: plant.__name__)
def test_weights_that_lie_elsewhere_or_nowhere_are_refused(tmp_path, plant, archive):
    path = write_h5(tmp_path / "net.h5", MODEL)
    with h5py.File(path, "r+") as file:
        plant(file, tmp_path)
    if archive:
        path = write_keras(tmp_path / "net.keras", MODEL, ("model.weights.h5", path.read_bytes()))
    with pytest.raises(WorkerError, match=HOSTILE_HDF5[plant]) as error:
        require_contained_weights(path, "net", tmp_path)
    assert "'/model_weights/dense'" in str(error.value)


def test_soft_links_shared_objects_and_cycles_within_a_file_are_read(tmp_path):
    path = write_h5(tmp_path / "net.h5", MODEL)
    with h5py.File(path, "r+") as file:
        file["model_weights/kernel"] = np.ones((3, 3))
        file["model_weights/again"] = file["model_weights/kernel"]
        file["model_weights/soft"] = h5py.SoftLink("/nowhere")
        file["model_weights/up"] = file["/"]
    require_contained_weights(path, "net", tmp_path)


@pytest.mark.parametrize(
    ("member", "word"),
    [
        (("../evil", b""), "leads out of its folder"),
        (("/tmp/evil", b""), "leads out of its folder"),
        (("assets/..\\evil", b""), "leads out of its folder"),
        (("config.json", b"{}"), "is in it twice"),
        (("model.weights.h5", b"\0" * (80 << 20)), "unpacks to"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_no_keras_writes_is_refused(tmp_path, member, word):
    path = write_keras(tmp_path / "net.keras", MODEL, member)
    with pytest.raises(WorkerError, match=word):
        open_keras_file(path, "net.keras")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_weights_of_an_archive_are_named(tmp_path, compression):
    weights = write_h5(tmp_path / "net.h5", MODEL).read_bytes() * 3
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model.weights.h5", weights)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4] = b"\xff" * 4
    path.write_bytes(raw)
    with pytest.raises(WorkerError, match=r"'net\.keras' is damaged"):
        require_contained_weights(path, "net.keras", tmp_path)


def test_a_file_that_is_an_archive_and_hdf5_at_once_is_loaded_as_what_was_read(tmp_path):
    """Keras goes by the name of a file: it would load the archive at the end of one that begins as HDF5."""
    path = write_h5(tmp_path / "net.keras", MODEL)
    other = write_keras(tmp_path / "other.keras", functional(layer("Lambda", "evil")))
    path.write_bytes(path.read_bytes() + other.read_bytes())
    assert zipfile.is_zipfile(path)
    file = open_keras_file(path, "net.keras")
    assert file.config == MODEL
    assert file.link_into(tmp_path).name == "model.h5"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"class_name": "Functional", "config": ' + '{"a": ' * 300 + "1" + "}" * 301, "nested too deeply"),
        ("{}", "has no model in it"),
        ('{"class_name": 3}', "has no model in it"),
        ("[1]", "has no model in it"),
        ("\ud800", "damaged"),
        ("{", "damaged"),
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path, text, word):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text.encode(errors="surrogatepass"))
    with pytest.raises(WorkerError, match=word):
        open_keras_file(path, "net.keras")
