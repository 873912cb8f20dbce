"""Samples: written in blocks, read as maps, the same bytes for the same samples; memory stays flat."""

import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampling import sample_request, sampled, spec

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets import dataset_arrays, dataset_readers, sample
from tflbuild.steps.datasets.sample_files import load_feeds, load_samples
from tflbuild.steps.datasets.sample_writer import ArrayWriter, save_samples

MIB = 1 << 20
IMAGE = spec("image", [1, 4, 4, 1])
NPZ = {"kind": "npz"}


def save(folder, name="data.npz", **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


def tree(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool", "float16"])
def test_an_array_written_in_parts_is_the_array(tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 2, (7, 3, 2)).astype(dtype)
    writer = ArrayWriter(tmp_path / "a.npy")
    for part in np.split(array, [1, 4]):
        writer.append(part)
    writer.close()
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == array.dtype and np.array_equal(found, array)
    np.save(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_bytes_that_get_wider_are_kept_whole(tmp_path):
    writer = ArrayWriter(tmp_path / "a.npy")
    parts = [np.array([b"a", b"bc"]), np.array([b"defg"]), np.array([b"h"])]
    for part in parts:
        writer.append(part)
    writer.close()
    assert np.load(tmp_path / "a.npy").tolist() == [b"a", b"bc", b"defg", b"h"]


def test_samples_of_another_shape_are_not_appended(tmp_path):
    writer = ArrayWriter(tmp_path / "a.npy")
    writer.append(np.zeros((2, 3)))
    with pytest.raises(ValueError):
        writer.append(np.zeros((2, 4)))


def test_what_is_saved_comes_back_by_name_and_signature(tmp_path):
    inputs = {"b/c": np.ones((2, 3), np.float32), "a:0": np.zeros((2, 1), np.int32)}
    save_samples(tmp_path / "s", inputs, np.array([4, 5]), {"more": {"x": np.full((2, 2), 7)}})
    found, labels = load_samples(tmp_path / "s")
    assert found.keys() == inputs.keys() and all(np.array_equal(found[name], inputs[name]) for name in inputs)
    assert labels.tolist() == [4, 5]
    feeds = load_feeds(tmp_path / "s", "main")
    assert list(feeds) == ["main", "more"] and feeds["more"]["x"].tolist() == [[7, 7], [7, 7]]


@pytest.mark.parametrize("fortran", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed], ids=["plain", "compressed"])
def test_an_npz_is_fed_as_it_is(tmp_path, monkeypatch, write, fortran):
    monkeypatch.setattr(dataset_readers, "BLOCK_BYTES", 100)
    array = np.random.default_rng(0).random((50, 4, 4, 1)).astype(np.float32)
    write(tmp_path / "data.npz", image=np.asfortranarray(array) if fortran else array, y=np.arange(50))
    inputs, labels, facts = sampled(tmp_path, NPZ | {"label": "y"}, [IMAGE], tmp_path / "data.npz")
    assert np.array_equal(inputs["image"], array) and labels.tolist() == list(range(50))
    values = facts.pop("inputs")["image"]
    assert facts == {"count": 50, "available": 50, "synthetic": False, "distinct": 50}
    assert (values["low"], values["high"]) == pytest.approx((float(array.min()), float(array.max())))
    assert values["mean"] == pytest.approx(float(array.mean()), rel=1e-4)
    assert not list(tmp_path.glob("step-*/unpacked*"))


def test_the_size_of_blocks_is_in_no_byte(tmp_path, monkeypatch):
    data = save(tmp_path, image=np.random.default_rng(0).random((50, 4, 4, 1)).astype(np.float32))
    trees = []
    for size in (1, 333, MIB):
        monkeypatch.setattr(dataset_readers, "BLOCK_BYTES", size)
        request = sample_request(tmp_path, NPZ | {"scale": 2.0}, [IMAGE], data)
        sample.run(request)
        trees.append(tree(request.outputs / "samples"))
    assert trees[0] == trees[1] == trees[2]


@given(count=st.integers(1, 40), seed=st.integers(0, 9))
def test_a_choice_is_seeded_without_replacement_and_in_order(tmp_path_factory, count, seed):
    folder = tmp_path_factory.mktemp("choice")
    data = save(folder, x=np.arange(40, dtype=np.float32)[:, None], y=np.arange(40))
    params = NPZ | {"count": count, "seed": seed, "label": "y"}
    first, labels, _ = sampled(folder, params, [spec("x", [1, 1])], data)
    again, _, _ = sampled(folder, params, [spec("x", [1, 1])], data)
    values = first["x"][:, 0].tolist()
    assert values == sorted(set(values)) and len(values) == count and labels.tolist() == values
    assert np.array_equal(first["x"], again["x"])


def test_another_seed_is_another_choice(tmp_path):
    data = save(tmp_path, x=np.arange(100, dtype=np.float32)[:, None])
    chosen = [
        sampled(tmp_path, NPZ | {"count": 10, "seed": seed}, [spec("x", [1, 1])], data)[0]["x"] for seed in (0, 1)
    ]
    assert not np.array_equal(*chosen)


def test_several_inputs_and_signatures_are_fed_by_name(tmp_path):
    arrays = {"a": np.ones((3, 2), np.float32), "ids": np.arange(3, dtype=np.int32)[:, None]}
    data = save(tmp_path, **arrays)
    more = [{"key": "again", "inputs": [spec("z", [1, 2])]}, {"key": "other", "inputs": [spec("q", [1, 9])]}]
    params = NPZ | {"arrays": [["again/z", "a"]]}
    request = sample_request(tmp_path, params, [spec("a", [1, 2]), spec("ids", [1, 1], "int32")], data, more)
    assert sample.run(request)["unfed"] == ["other"]
    feeds = load_feeds(request.outputs / "samples", "main")
    assert feeds["main"].keys() == {"a", "ids"} and np.array_equal(feeds["again"]["z"], arrays["a"])


def test_text_is_fed_as_bytes(tmp_path):
    data = save(tmp_path, t=np.array([["yes"], ["näh"]]))
    inputs, _, _ = sampled(tmp_path, NPZ, [spec("t", [1, 1], "string")], data)
    assert inputs["t"].tolist() == [[b"yes"], ["näh".encode()]]


def test_an_npy_feeds_the_only_input_whatever_its_name(tmp_path):
    array = np.random.default_rng(0).random((9, 4, 4, 1)).astype(np.float32)
    for order in ("C", "F"):
        np.save(tmp_path / "data.npy", np.asarray(array, order=order))
        inputs, _, _ = sampled(tmp_path, {"kind": "npy", "count": 4}, [IMAGE], tmp_path / "data.npy")
        assert len(inputs["image"]) == 4 and all((array == one).all((1, 2, 3)).any() for one in inputs["image"])


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [("npy", "data.npz", "dataset=npz"), ("npz", "data.npy", "dataset=npy"), ("npy", "none.npy", "numpy.save")],
)
def test_one_form_taken_for_the_other_is_told(tmp_path, kind, name, words):
    save(tmp_path, image=np.zeros((2, 4, 4, 1), np.float32))
    np.save(tmp_path / "data.npy", np.zeros((2, 4, 4, 1), np.float32))
    (tmp_path / "none.npy").write_text("1,2,3")
    with pytest.raises(WorkerError) as caught:
        sampled(tmp_path, {"kind": kind}, [IMAGE], tmp_path / name)
    assert words in caught.value.fields["next_step"]


def test_an_npy_cannot_feed_two_inputs(tmp_path):
    np.save(tmp_path / "data.npy", np.zeros((2, 4)))
    with pytest.raises(WorkerError, match="has 2"):
        sampled(tmp_path, {"kind": "npy"}, [spec("a", [1, 4]), spec("b", [1, 4])], tmp_path / "data.npy")


@pytest.mark.parametrize("count", [1, 1000])
def test_synthetic_data_is_one_stream_however_it_is_cut(tmp_path, monkeypatch, count):
    params = {"kind": "synthetic", "count": count, "seed": 3, "low": -1.0, "high": 2.0}
    expected = np.random.default_rng(3).uniform(-1.0, 2.0, (count, 4, 4, 1)).astype(np.float32)
    monkeypatch.setattr("tflbuild.steps.datasets.dataset_synthetic.BLOCK_BYTES", 4096)
    inputs, labels, facts = sampled(tmp_path, params, [IMAGE, spec("b", [1, 2])])
    assert np.array_equal(inputs["image"], expected) and labels is None
    assert facts["synthetic"] is True and facts["count"] == len(inputs["b"]) == count


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["plain", "compressed"])
def test_memory_stays_far_below_the_data(tmp_path, compression):
    """96 MiB of data; a tenth of it may be held at once."""
    rows = np.random.default_rng(0).integers(0, 256, (256, 64 * 64 * 3)).astype(np.uint8)
    archive = zipfile.ZipFile(tmp_path / "data.npz", "w", compression, compresslevel=1)
    with archive, archive.open("image.npy", "w", force_zip64=True) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (32 * 256, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(32):
            file.write(rows.tobytes())
    request = sample_request(tmp_path, NPZ, [spec("image", [1, 64, 64, 3], "uint8")], tmp_path / "data.npz")
    tracemalloc.start()
    try:
        sample.run(request)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    inputs, _ = load_samples(request.outputs / "samples")
    assert inputs["image"].nbytes == 96 * MIB
    assert peak < 10 * MIB


def test_a_member_that_ends_early_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive, archive.open("image.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (9, 4, 4, 1)})
        file.write(bytes(100))
    with pytest.raises(WorkerError, match="damaged"):
        sampled(tmp_path, NPZ, [IMAGE], tmp_path / "data.npz")


def test_every_row_of_a_block_is_accounted_for():
    held = {"x": dataset_readers.ArrayHeader(np.dtype("u1"), (10, 3))}
    rows = {"x": dataset_arrays.MappedRows(np.arange(30, dtype=np.uint8).reshape(10, 3))}
    picked = np.array([0, 4, 9])
    (block,) = dataset_arrays.blocks(rows, held, picked)
    assert block["x"][:, 0].tolist() == [0, 12, 27]
