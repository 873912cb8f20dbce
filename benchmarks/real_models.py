"""Trained models of packages and real data, as files that recipes name: real_models.py FOLDER PACKAGES SOUNDS.

Run in a process of its own, since it imports TensorFlow and the packages. PACKAGES is the folder that
benchmarks/packages.txt was unpacked into, SOUNDS that of the FLAC files of Debian's `sonic-pi-samples`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

RATE = 22_050  # samples a second that basic-pitch hears
WINDOW = 43_844  # and how many of them at once
SOUND_WINDOWS = 16  # of each set
PATCHES = 200
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "retina.jpg")
# recordings of notes: guitars, a piano, basses, bells, choirs; one set calibrates, the other evaluates
CALIBRATION_SOUNDS = ("guit_e_fifths", "ambi_piano", "bass_woodsy_c", "loop_garzul", "perc_bell", "ambi_glass_hum")
EVALUATION_SOUNDS = ("guit_em9", "guit_harmonics", "bass_voxy_c", "loop_safari", "perc_bell2", "ambi_haunted_hum")


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """[n, h, w] -> float32 [n, size, size], bilinear."""
    shape = (size, size)
    return np.stack([np.asarray(Image.fromarray(i.astype(np.float32)).resize(shape, Image.BILINEAR)) for i in images])


def write_faces(folder: Path, faces: np.ndarray) -> None:
    """fer's input: faces in grey, -1 to 1, 64x64. Every other one calibrates."""
    values = (resize(faces, 64) * 2.0 - 1.0)[..., None].astype(np.float32)
    np.savez(folder / "fer_calibration.npz", input_1=values[0::2])
    np.savez(folder / "fer_evaluation.npz", input_1=values[1::2])


def write_patches(folder: Path, pictures: np.ndarray, photographs: Path) -> None:
    """mtcnn's input, (pixel - 127.5) / 128: patches of photographs calibrate, labelled pictures evaluate."""
    random = np.random.default_rng(1)
    patches = []
    for index in range(PATCHES):
        photograph = Image.open(photographs / PHOTOGRAPHS[index % len(PHOTOGRAPHS)]).convert("RGB")
        side = int(random.integers(24, min(photograph.size) // 2))
        left, top = (int(random.integers(0, length - side)) for length in photograph.size)
        cut = photograph.crop((left, top, left + side, top + side)).resize((24, 24), Image.BILINEAR)
        patches.append((np.asarray(cut, np.float32) - 127.5) / 128.0)
    np.savez(folder / "mtcnn_calibration.npz", patch=np.stack(patches))
    grey = (resize(pictures, 24) * 255.0 - 127.5) / 128.0
    label = np.repeat([1, 0], 100)  # scikit-image's lfw_subset: the first hundred are faces
    np.savez(folder / "mtcnn_evaluation.npz", patch=np.repeat(grey[..., None], 3, -1).astype(np.float32), label=label)


def write_detector(folder: Path) -> None:
    """The second net of mtcnn: a patch of 24x24 -> where its box is, and whether it is a face."""
    import keras
    from mtcnn.network.rnet import RNet
    from mtcnn.utils.tensorflow import load_weights

    net = RNet()
    net.build((None, 24, 24, 3))
    net.set_weights(load_weights("rnet.lz4"))
    patch = keras.Input((24, 24, 3), name="patch")
    keras.Model(patch, dict(zip(("box", "face"), net(patch), strict=True))).export(folder / "mtcnn_rnet", verbose=False)


def write_sounds(path: Path, sounds: Path, names: tuple[str, ...]) -> None:
    """basic-pitch's input: windows of two seconds, channels averaged, every second sample after a low pass."""
    import soundfile

    kernel = np.sinc((np.arange(63) - 31) / 2.0) * np.hamming(63)
    windows = []
    for name in names:
        values, rate = soundfile.read(sounds / f"{name}.flac", always_2d=True)
        assert rate == 2 * RATE, name
        halved = np.convolve(values.mean(1), kernel / kernel.sum(), "same")[::2]
        windows += [halved[i : i + WINDOW] for i in range(0, len(halved) - WINDOW + 1, WINDOW)]
    chosen = np.linspace(0, len(windows) - 1, SOUND_WINDOWS).astype(int)
    np.savez(path, input_2=np.stack([windows[i] for i in chosen])[..., None].astype(np.float32))


def main() -> None:
    """Every model and data set."""
    folder, packages, sounds = (Path(argument) for argument in sys.argv[1:4])
    sys.path.append(str(packages))
    pictures = np.load(packages / "skimage" / "data" / "lfw_subset.npy")
    write_faces(folder, pictures[:100])
    write_patches(folder, pictures, packages / "skimage" / "data")
    write_sounds(folder / "pitch_calibration.npz", sounds, CALIBRATION_SOUNDS)
    write_sounds(folder / "pitch_evaluation.npz", sounds, EVALUATION_SOUNDS)
    write_detector(folder)


if __name__ == "__main__":
    main()
