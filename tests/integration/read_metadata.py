"""A model as other readers of TFLite Metadata take it, as JSON. Run by the environment of tests/readers.txt.

python read_metadata.py describe model.tflite               {"tree": ..., "files": [...]}, by tflite-support
python read_metadata.py image model.tflite image.npy        [[label, score], ...], by MediaPipe; uint8 RGB pixels
python read_metadata.py task_image model.tflite image.npy   the same, by the Task Library
python read_metadata.py audio model.tflite samples.npy      the same; float32 [samples], 16 kHz
"""

import json
import sys


def describe(model):
    from tflite_support import metadata

    found = metadata.MetadataDisplayer.with_model_file(model)
    return {"tree": json.loads(found.get_metadata_json()), "files": found.get_packed_associated_file_list()}


def categories(result):
    return [[one.category_name, one.score] for one in result.classifications[0].categories]


def image(model, place):
    import mediapipe
    import numpy as np
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        pixels = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.load(place))
        return categories(classifier.classify(pixels))


def task_image(model, place):
    import numpy as np
    from tflite_support.task import vision

    classifier = vision.ImageClassifier.create_from_file(model)
    return categories(classifier.classify(vision.TensorImage.create_from_array(np.load(place))))


def audio(model, place):
    import numpy as np
    from mediapipe.tasks.python import BaseOptions, audio
    from mediapipe.tasks.python.components.containers import AudioData

    options = audio.AudioClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    with audio.AudioClassifier.create_from_options(options) as classifier:
        return categories(classifier.classify(AudioData.create_from_array(np.load(place), 16000))[0])


if __name__ == "__main__":
    readers = {"describe": describe, "image": image, "task_image": task_image, "audio": audio}
    print(json.dumps(readers[sys.argv[1]](*sys.argv[2:])))
