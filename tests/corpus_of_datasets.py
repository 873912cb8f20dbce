"""The faults of the corpus that are planted in the dataset reader."""

from __future__ import annotations

from functools import partial

from corpus_types import PlantedFault

CLASSES = "source=tflite dataset=npz verify=classification quantization=int8"
SCALED = "scale: 0.00392156862745098"
GATES = "gates: {top1: 0.8}"

evaluated = partial(
    PlantedFault,
    place="dataset",
    mark="evaluated",
    source="classes.tflite",
    options=CLASSES,
    caught_by="verify",
    code=3,
)
calibrated = partial(evaluated, mark="calibrated")

DATASET_FAULTS = (
    evaluated(
        name="reader_shuffles_labels",
        what="Labels are shuffled against the samples",
        text="is not clearly better than always naming class",
    ),
    evaluated(
        name="reader_shifts_labels",
        what="Labels count from 1 and not from 0",
        text="labels look permuted",
    ),
    evaluated(
        name="reader_drops_the_first_label",
        what="Each sample has the label of the next one",
        text="is not clearly better than always naming class",
    ),
    evaluated(
        name="reader_reads_one_class",
        what="Only the samples of the first class are read",
        text="all 20 labels are class 0",
        code=0,
    ),
    evaluated(
        name="reader_repeats_a_sample",
        what="The first sample is fed in the place of all",
        text="all 96 evaluation samples are the same",
        code=0,
    ),
    evaluated(
        name="reader_feeds_one_sample",
        what="One sample alone is read",
        text="1 evaluation sample cannot show how the artifact does on others",
        code=0,
    ),
    evaluated(
        name="reader_feeds_an_array_to_another_input",
        what="Two inputs of one shape get each other's array",
        text="is not clearly better than always naming class",
    ),
    evaluated(
        name="reader_scales_twice",
        what="The scale is applied twice",
        text="source and artifact name the same class on",
    ),
    evaluated(
        name="reader_reverses_channels",
        what="Channels are reversed (BGR for RGB)",
        text="is not clearly better than always naming class",
    ),
    evaluated(
        name="reader_turns_images",
        what="Height and width are exchanged",
        text="is not clearly better than always naming class",
    ),
    evaluated(
        name="reader_truncates_to_integers",
        what="Values are cut to integers",
        text="all 96 evaluation samples are the same",
    ),
    evaluated(
        name="reader_feeds_nan",
        what="NaN are fed",
        text="the source model gives NaN or infinity in its output 'scores'",
        code=2,
        caught_by="predict",
    ),
    calibrated(
        name="reader_feeds_zeros",
        what="All calibration samples are zeros",
        text="activation ranges were measured on 96 samples that are all equal",
    ),
    calibrated(
        name="reader_forgets_to_scale",
        what="An input is calibrated with values that are 255 times too large",
        text="output 'scores' has an SNR of",
    ),
)
