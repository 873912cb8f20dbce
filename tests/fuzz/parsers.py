"""Every parser that reads foreign bytes: whole examples to damage, what reads them, and the errors it may raise."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import struct
import tarfile
import traceback
import wave
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

KEPT = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Parser:
    """`read` gets bytes and an empty folder. `wraps` make a file of damaged content, so that checksums are right.

    `words` are inserted as they are; `errors` are those that a person sees as a message.
    """

    name: str
    read: Callable[[bytes, Path], Any]
    seeds: Callable[[], Sequence[bytes]]
    errors: Callable[[], tuple[type[BaseException], ...]]
    words: Sequence[bytes] = ()
    wraps: Sequence[Callable[[bytes], bytes]] = (bytes,)

    def examples(self) -> list[bytes]:
        """Whole examples, and what once broke the parser (tests/fuzz/corpus/<name>/)."""
        kept = sorted((KEPT / self.name).glob("*")) if (KEPT / self.name).is_dir() else []
        return [*self.seeds(), *(file.read_bytes() for file in kept)]


def worker_errors() -> tuple[type[BaseException], ...]:
    from tflbuild.runtime.step_contract import WorkerError

    return (WorkerError,)


def recipe_errors() -> tuple[type[BaseException], ...]:
    from tflbuild.errors import TflbuildError

    return (TflbuildError,)


def no_errors() -> tuple[type[BaseException], ...]:
    return ()


def json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


# recipes and overrides


def read_recipe(raw: bytes, folder: Path) -> None:
    from omegaconf import OmegaConf

    from tflbuild.config.composing.config_errors import KeyLocations, translate_errors
    from tflbuild.config.composing.value_limits import require_bounded, require_plain
    from tflbuild.config.composing.yaml_files import load_yaml, read_yaml_text
    from tflbuild.config.composing.yaml_keys import find_line

    file = folder / "x.yaml"
    file.write_bytes(raw)
    places = KeyLocations(recipe=file)
    with translate_errors([], places):
        config = OmegaConf.create(load_yaml(file, read_yaml_text(file)))
        plain = OmegaConf.to_container(config, resolve=False)
        require_bounded(plain, places)
        OmegaConf.resolve(config)
        require_plain(OmegaConf.to_container(config), places)
    find_line(file, "source.path")


def recipes() -> list[bytes]:
    from tflbuild.locations import find_shipped_folder

    pages = [file.read_bytes() for file in sorted(find_shipped_folder("recipes").glob("*.yaml"))[:4]]
    return [
        *pages,
        b"a: &a {b: [1, 2.5, true, null, .inf, 'x', 0x10, 1:30]}\nc: {<<: *a, d: *a}\ne: |\n  text\n  more\n",
        b"source: {path: ${oc.env:HOME,x}/${name}}\nname: ${.other}\nother: '${source.kind}'\n",
        b"# @package _global_\ndefaults:\n- override /quantization: int8\n- _self_\n",
    ]


YAML_WORDS = (
    b"&a ",
    b"*a",
    b"<<: ",
    b"[",
    b"{",
    b"- ",
    b"? ",
    b"!!int ",
    b"!!python/name:x ",
    b"${",
    b"}",
    b"0x",
    b"\0",
)
YAML_WORDS += (
    b'"\\ud800"',
    b"9" * 500,
    b"1e999",
    b".nan",
    b"\xff",
    b"\xef\xbb\xbf",
    b"---\n",
    b"%YAML 9.9\n",
    b"\t",
    b"'",
)


def read_override(raw: bytes, folder: Path) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from tflbuild.config.composing.config_errors import KeyLocations, check_overrides, translate_errors
    from tflbuild.config.composing.mapping_overrides import nest, normalise
    from tflbuild.config.composing.value_limits import require_readable

    overrides = [text for text in raw.decode(errors="surrogateescape").replace("\0", "").split("\n") if text]
    require_readable(overrides)
    normal = normalise(overrides)
    with translate_errors(normal):
        parsed = OverridesParser.create().parse_overrides([nest(text) for text in normal])
        check_overrides(parsed, KeyLocations(overrides=tuple(normal)))
        for override in parsed:
            if override.is_sweep_override() and override.is_discrete_sweep():
                for _, _ in zip(range(20), override.sweep_iterator(), strict=False):
                    pass


def overrides() -> list[bytes]:
    return [
        b"+recipe=mobilenet_int8\nquantization=none,int8",
        b"a.b={x:[1,2,{c:'d e'}],y:null}\n~target.cpu",
        b"seed=range(1,10,2)\nname='${oc.env:HOME}'\nv=choice(a,b)\nw=glob(*,exclude=x)\nq=int(3.5)",
        b"++signature.inputs.x.dtype=int8\nverify.gates.snr_db=2.5e1\nx=sort(3,2,1,reverse=true)",
    ]


OVERRIDE_WORDS = (
    b"[",
    b"{",
    b"(",
    b",",
    b"=",
    b"${",
    b"'",
    b'"',
    b"\\",
    b"range(1,9999999999)",
    b"9" * 500,
    b"\xff",
    b"@",
)


# JSON: notes, records, manifests, sweeps


def read_json_files(raw: bytes, folder: Path) -> None:
    """All readers of JSON that answer None or nothing for what is damaged."""
    from tflbuild.execute.memory_budget import _read_peaks as read_memory
    from tflbuild.pipeline.output_folders import OWNER, _read_owner
    from tflbuild.report.output_files import read_manifest
    from tflbuild.storage.digest_cache import _load

    for name in ("x.json", OWNER):
        (folder / name).write_bytes(raw)
    _load(folder / "x.json")
    read_memory(folder / "x.json")
    read_manifest(folder / "x.json")
    _read_owner(folder)


def json_files() -> list[bytes]:
    return [
        json_bytes([[1, 2, 3, 4, 5], "ab" * 32]),
        json_bytes({"tensorflow": {"100": 5000}, "litert": {}}),
        json_bytes({"recipe": "a", "file": "recipes/a.yaml", "named_on_command_line": False}),
        json_bytes({"artifact": {"digest": "ab" * 32}, "targets": {"cpu": {"works": True}}, "metrics": None}),
    ]


JSON_WORDS = (
    b"[" * 300,
    b'{"a":' * 200,
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 500,
    b"9" * 5000,
    b'"\\ud800"',
    b"null",
)
JSON_WORDS += (b"true", b"{}", b"[]", b'""', b"\0", b"\xff\xfe", b"-", b",", b":", b"0")


def read_store_record(raw: bytes, folder: Path) -> None:
    from tflbuild.storage.record_validation import read_incoming

    for key in ("ab" * 32, json.loads(store_records()[0])["key"]):
        read_incoming(key, raw, ["model.tflite", "snapshot/"])


def store_records() -> list[bytes]:
    body = {
        "format": 1,
        "key": "cd" * 32,
        "elapsed": 1.5,
        "created": 1.7e9,
        "facts": {"tied": [], "peak_bytes": 5},
        "action": {"kind": "convert", "params": {"a": [1, 2.5, None]}, "inputs": [["source", "ab" * 32]]},
        "outputs": {
            "model.tflite": {"digest": "ab" * 32, "size": 5, "files": {}},
            "snapshot/": {"digest": "ab" * 32, "size": 5, "files": {"a/b.pb": "ab" * 32}},
        },
    }
    return [json_bytes(body)]


def seal_record(body: bytes) -> bytes:
    from tflbuild.core.digest import hash_bytes

    text = body.decode(errors="replace")
    return json_bytes({"sha256": hash_bytes(text.encode()), "body": text})


def read_sweep(raw: bytes, folder: Path) -> None:
    from tflbuild.report.sweeps.ranking import sweep_table
    from tflbuild.report.sweeps.sweep_page import sweep_page
    from tflbuild.report.sweeps.sweep_record import read_record, write_csv

    (folder / "sweep.json").write_bytes(raw)
    sweep = read_record(folder / "sweep.json")
    sweep_page([sweep])
    sweep_table(sweep)
    write_csv([sweep])


def sweeps() -> list[bytes]:
    from sweep_records import sweep

    from tflbuild.report.sweeps.sweep_record import write_record

    return [write_record(sweep()).encode()]


# models


def read_tflite(raw: bytes, folder: Path) -> None:
    from tflbuild.steps.sources.litert_import import read_source
    from tflbuild.tflite.contents_json import describe_model
    from tflbuild.tflite.model_editing import parse_model
    from tflbuild.tflite.tflite_metadata import read_metadata
    from tflbuild.tflite.tflite_reader import read_buffers

    file = folder / "x.tflite"
    file.write_bytes(raw)
    content, model = read_source(file, "x.tflite")
    read_buffers(file)
    describe_model(model, read_metadata(file))
    parse_model(content)


def tflites() -> list[bytes]:
    from tiny_tflite import make_root, pack

    from tflbuild.tflite.tflite_metadata import write_metadata

    plain = pack(make_root())
    archive = io.BytesIO(plain + b"\0" * (-len(plain) % 16))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("labels.txt", "a\nb\n")
    assert callable(write_metadata)
    return [plain, archive.getvalue()]


def read_keras(raw: bytes, folder: Path) -> None:
    from tflbuild.steps.foreign_models.keras_describe import describe_model
    from tflbuild.steps.foreign_models.keras_file import open_keras_file

    file = folder / "x.keras"
    file.write_bytes(raw)
    describe_model(open_keras_file(file, "x.keras").config)


def read_keras_apart(raw: bytes, folder: Path) -> None:
    """Read in a process of its own, as the step does: native code may crash, or not come back before its time limit."""
    child = os.fork()
    if child == 0:
        from tflbuild.runtime import cpu_time_limit
        from tflbuild.steps.foreign_models import keras_file

        keras_file.limit_time = lambda *_: cpu_time_limit.limit_time(0.2)  # type: ignore[assignment]
        try:
            read_keras(raw, folder)
        except worker_errors():
            os._exit(0)
        except BaseException:
            (folder / "trace").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, (folder / "trace").read_text()


def keras_config() -> bytes:
    layers = [
        {"class_name": "InputLayer", "module": "keras.layers", "config": {"batch_shape": [None, 4], "name": "x"}},
        {
            "class_name": "Dense",
            "module": "keras.layers",
            "config": {"units": 3, "name": "d", "activation": "relu", "dtype": "float32"},
        },
    ]
    return json_bytes({"class_name": "Sequential", "module": "keras", "config": {"name": "m", "layers": layers}})


def zip_keras(config: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", "{}")
    return made.getvalue()


def hdf5_keras() -> bytes:
    import h5py

    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.attrs["model_config"] = keras_config().decode()
        file.create_dataset("model_weights/d/kernel", data=[1.0, 2.0])
    return made.getvalue()


def read_saved_model(raw: bytes, folder: Path) -> None:
    from tflbuild.steps.foreign_models import saved_model_file

    (folder / "saved_model.pb").write_bytes(raw)
    model = saved_model_file.read_saved_model(folder, "model")
    saved_model_file.list_entry_points(saved_model_file.select_graph(model, [], "model"))


def saved_models() -> list[bytes]:
    """One with a signature, and one with a function of its own alone."""
    from tensorflow.core.protobuf import saved_model_pb2

    made = []
    for signature in (True, False):
        model = saved_model_pb2.SavedModel()
        graph = model.meta_graphs.add()
        graph.meta_info_def.tags.append("serve")
        node = graph.graph_def.node.add()
        node.name, node.op = "x", "Placeholder"
        root = graph.object_graph_def.nodes.add()
        root.user_object.identifier = "_generic_user_object"
        child = root.children.add()
        child.node_id, child.local_name = 1, "__call__"
        function = graph.object_graph_def.nodes.add().function
        function.concrete_functions.append("f")
        graph.object_graph_def.concrete_functions["f"].bound_inputs.append(1)
        if signature:
            entry = graph.signature_def["serving_default"].inputs["x"]
            entry.name, entry.dtype = "x:0", 1
            entry.tensor_shape.dim.add().size = -1
        made.append(model.SerializeToString())
    return made


# datasets


def read_dataset(kind: str, suffix: str, options: dict[str, Any], shape: Sequence[int], dtype: str = "float32") -> Any:
    def read(raw: bytes, folder: Path) -> None:
        from sampling import sampled, spec

        if suffix.startswith("/"):
            data = folder / "data"
            place = data / suffix[1:]
            place.parent.mkdir(parents=True)
        else:
            data = place = folder / f"data{suffix}"
        place.write_bytes(raw)
        sampled(folder, {"kind": kind, "options": options}, [spec("x", [None, *shape], dtype)], data)

    return read


def npys() -> list[bytes]:
    import numpy as np

    made = []
    for array in (np.ones((3, 4), np.float32), np.asfortranarray(np.ones((3, 4))), np.array([[1, 2, 3, 4]], "<i2")):
        file = io.BytesIO()
        np.save(file, array)
        made.append(file.getvalue())
    return made


def zip_npy(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return made.getvalue()


def csvs() -> list[bytes]:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b", "c", "d"], [1, 2.5, "3e2", -4], [5, 6, 7, 8]])
    return [text.getvalue().encode(), b'\xef\xbb\xbfa,b,c,d\n"1",2,3,4\n']


def examples() -> list[bytes]:
    from records import example

    return [example(x=[1.0, 2.0, 3.0, 4.0], y=[1, -5]), example(x=[1.0] * 4, y=b"text")]


def frame_record(content: bytes) -> bytes:
    from tflbuild.steps.datasets.tfrecord import frame

    return frame(content) + frame(examples()[0])


def zip_record(content: bytes) -> bytes:
    return gzip.compress(frame_record(content))


def waves() -> list[bytes]:
    made = []
    for width in (1, 2, 3):
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setparams((1, width, 8000, 0, "NONE", ""))
            sound.writeframes(b"\1\2\3" * 40)
        made.append(file.getvalue())
    return made


def images() -> list[bytes]:
    from PIL import Image

    made = []
    for form in ("PNG", "JPEG", "BMP", "GIF", "PPM"):
        file = io.BytesIO()
        Image.new("RGB", (4, 3), (1, 200, 30)).save(file, form)
        made.append(file.getvalue())
    return made


def png_with_head(content: bytes) -> bytes:
    """A PNG whose header is the first 13 bytes of the content, with the right checksum."""
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head, body = content[16:29].ljust(13, b"\1"), zlib.compress(content[29:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def read_tfds(raw: bytes, folder: Path) -> None:
    from records import record_file
    from sampling import sampled, spec

    data = folder / "data"
    data.mkdir()
    info, _, features = raw.partition(b"\n---\n")
    (data / "dataset_info.json").write_bytes(info)
    (data / "features.json").write_bytes(features)
    record_file(data, examples()[0], name="toy-train.tfrecord-00000-of-00001")
    params = {"kind": "tfds", "options": {"split": "train", "layout": "nhwc", "resize": "bilinear", "crop": "none"}}
    params["options"] |= {"mean": [], "std": [], "size": [], "classes": []}
    sampled(folder, params, [spec("x", [None, 4])], data)


def tfds_pages() -> list[bytes]:
    tensor = {"tensor": {"shape": {"dimensions": ["4"]}, "dtype": "float32", "encoding": "none"}}
    kind = {"pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor"}
    number = {"tensor": {"shape": {}, "dtype": "int64", "encoding": "none"}}
    features = {"x": kind | tensor, "y": kind | number}
    top = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
    info = {"name": "toy", "version": "1.0.0", "fileFormat": "tfrecord"}
    info |= {"splits": [{"name": "train", "shardLengths": ["1"], "numBytes": "10"}]}
    return [
        json_bytes(info) + b"\n---\n" + json_bytes({"pythonClassName": top, "featuresDict": {"features": features}})
    ]


def read_archive(raw: bytes, folder: Path) -> None:
    from tflbuild.runtime.untrusted_archives import DownloadedArchive, unpack

    (folder / "x.tar.gz").write_bytes(raw)
    unpack(DownloadedArchive(folder / "x.tar.gz", "x.tar.gz"), folder / "made")
    made = [path for path in folder.rglob("*") if path.name != "x.tar.gz"]
    assert all(path.resolve().is_relative_to(folder.resolve()) and not path.is_symlink() for path in made)


def tars() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            for name in ("saved_model.pb", "variables/" + "v" * 90):
                member = tarfile.TarInfo(name)
                member.size = 5
                archive.addfile(member, io.BytesIO(b"12345"))
        made.append(file.getvalue().rstrip(b"\0") + b"\0" * 1024)
    return made


def label(kind: str) -> dict[str, Any]:
    return SimpleNamespace(**{kind: 1}).__dict__


IMAGE = {"classes": [], "mean": [], "std": [], "size": [], "resize": "bilinear", "crop": "none", "layout": "nhwc"}
SOUND = {"classes": [], "sample_rate": None, "length": None}
TABLE = {"columns": {"x": ["a", "b", "c", "d"]}, "delimiter": ","}
ZIP_WORDS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"\xff\xff\xff\xff", b"../", b"/etc/x", b"\0\0\0\0")
NPY_WORDS = (b"(" * 50, b"'|O'", b"-1,", b"9" * 30, b"99999999999,", b"True", b"'<U99999999'", b"{}", b"'V8'", b"\n")

PARSERS = [
    Parser("recipe", read_recipe, recipes, recipe_errors, YAML_WORDS),
    Parser("override", read_override, overrides, recipe_errors, OVERRIDE_WORDS),
    Parser("json", read_json_files, json_files, no_errors, JSON_WORDS),
    Parser("store_record", read_store_record, store_records, no_errors, JSON_WORDS, (bytes, seal_record)),
    Parser("sweep", read_sweep, sweeps, recipe_errors, JSON_WORDS),
    Parser("tflite", read_tflite, tflites, worker_errors, ZIP_WORDS),
    Parser("keras", read_keras, lambda: [keras_config()], worker_errors, (*JSON_WORDS, *ZIP_WORDS), (bytes, zip_keras)),
    Parser("hdf5", read_keras_apart, lambda: [hdf5_keras()], worker_errors, (b"\xff" * 8, b"\0" * 8)),
    Parser("saved_model", read_saved_model, saved_models, worker_errors, (b"\x0a" * 300, b"\x0b" * 50, b"\xff" * 9)),
    Parser("npy", read_dataset("npy", ".npy", {}, [4]), npys, worker_errors, NPY_WORDS),
    Parser(
        "npz", read_dataset("npz", ".npz", {}, [4]), npys, worker_errors, (*NPY_WORDS, *ZIP_WORDS), (bytes, zip_npy)
    ),
    Parser(
        "csv", read_dataset("csv", ".csv", TABLE, [4]), csvs, worker_errors, (b'"', b"nan", b"1e999", b"9" * 500, b"\0")
    ),
    Parser(
        *("tfrecord", read_dataset("tfrecord", ".tfrecord", {"raw": {}}, [4]), examples, worker_errors),
        *((b"\xff" * 10, b"\x0a\x80\x80\x80\x80\x10"), (bytes, frame_record, zip_record)),
    ),
    Parser(
        "wav",
        read_dataset("audio_folder", "/a.wav", SOUND, [None]),
        waves,
        worker_errors,
        (b"data", b"fmt ", b"\xff" * 4),
    ),
    Parser(
        *("image", read_dataset("image_folder", "/a.png", IMAGE, [3, 4, 3], "uint8"), images, worker_errors),
        *((b"\xff" * 4, b"IDAT", b"tRNS"), (bytes, png_with_head)),
    ),
    Parser("tfds", read_tfds, tfds_pages, worker_errors, (*JSON_WORDS, b"\n---\n")),
    Parser(
        "archive", read_archive, tars, worker_errors, (b"../", b"/x", b"\xff" * 12, b"7" * 11), (bytes, gzip.compress)
    ),
]
