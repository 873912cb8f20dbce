"""The faults of the corpus that are planted in `import`, converter, quantizer and `annotate`."""

from __future__ import annotations

from functools import partial

from corpus_types import PlantedFault

STATIC = "source=tflite signature=dynamic dataset=npz verify=none quantization=int8"
WEIGHTS = "source=tflite signature=dynamic verify=none quantization={}"
VERIFIED = "source=tflite signature=dynamic dataset=npz quantization=int8"
NOT_THE_SOURCES = "of the imported model is not what the source itself gives"
FLOAT_DIFFERS = "of the float model is not what the source itself gives"
PIXELS = (
    "preprocess: {photo: {scale: 0.01, mean: [0.4, 0.5, 0.6], std: [0.3, 0.2, 0.1], resize: bilinear}},"
    " inputs: {photo: {shape: [1, 9, 7, 3], dtype: uint8}}"
)
NAMED = "outputs: {d: difference, s: sum}"

quantizer = partial(
    PlantedFault, place="quantizer", mark="model", source="net.tflite", options=STATIC, caught_by="check"
)
annotated = partial(
    PlantedFault, place="annotate", mark="metadata", source="net.tflite", options=STATIC, caught_by="check"
)
imported = partial(PlantedFault, place="import", mark="signature", caught_by="compare import")
converter = partial(PlantedFault, place="converter", mark="signature", caught_by="compare float")

WORKER_FAULTS = (
    # inputs, outputs and signatures
    quantizer(
        name="quantizer_exchanges_outputs",
        what="Two outputs of the signature exchange their tensors",
        text="output 'alpha' is the tensor of 'zeta'",
    ),
    quantizer(
        name="quantizer_exchanges_inputs_of_the_graph",
        what="The graph's inputs are in another order",
        text="the inputs are in the order image, extra, extra, image was declared",
    ),
    quantizer(
        name="quantizer_reverses_outputs_of_the_graph",
        what="The graph's outputs are in another order",
        options=WEIGHTS.format("dynamic_int8"),
        text="the outputs are in the order alpha, zeta, zeta, alpha was declared",
    ),
    quantizer(
        name="quantizer_renames_an_output",
        what="An output has another name",
        text="outputs are other, zeta",
    ),
    quantizer(
        name="quantizer_drops_the_signature",
        what="The file has no signature",
        text="is missing; the file has: none",
    ),
    quantizer(
        name="quantizer_pins_the_batch",
        what="A free batch becomes 1",
        text="has shape [1, 6, 6, 3], declared was [None, 6, 6, 3]",
    ),
    # scales and zero points
    quantizer(
        name="quantizer_keeps_one_scale",
        what="A filter keeps the scale of its first channel alone",
        text="CONV_2D has per_tensor weights, per_channel was declared",
    ),
    quantizer(
        name="quantizer_turns_the_axis_of_scales",
        what="The scales of a matrix count along the wrong axis",
        text="FULLY_CONNECTED has 8 scales along axis 1",
    ),
    quantizer(
        name="quantizer_gives_scales_by_channel",
        what="Weights that were declared per tensor have a scale for each channel",
        sections=("quantization: {granularity: per_tensor}",),
        text="FULLY_CONNECTED has per_channel weights, per_tensor was declared",
    ),
    quantizer(
        name="quantizer_shifts_a_zero_point",
        what="An activation of a symmetric model has a zero point",
        sections=("quantization: {symmetric: true}",),
        text="int8 with the zero point 3",
    ),
    quantizer(
        name="quantizer_shifts_the_zero_point_of_an_input",
        what="The input of a symmetric model has a zero point",
        sections=("quantization: {symmetric: true}",),
        text="the input is int8 with the zero point 3",
    ),
    # schemes
    quantizer(
        name="quantizer_leaves_the_model_as_it_is",
        what="The float model is returned unchanged for float16",
        options=WEIGHTS.format("float16"),
        text="no tensor is float16",
    ),
    # what it computes
    quantizer(
        name="quantizer_zeroes_weights",
        what="The weights of a dense layer are zeros",
        text="is not the float model's: 366 of 368 values differ",
    ),
    quantizer(
        name="quantizer_zeroes_dynamic_weights",
        what="The weights of a convolution are zeros (dynamic_int8)",
        options=WEIGHTS.format("dynamic_int8"),
        text="is not the float model's: 1,074 of 1,080 values differ",
    ),
    quantizer(
        name="quantizer_transposes_weights",
        what="A matrix is stored transposed",
        text="functional_1/alpha_1/MatMul is not the float model's",
    ),
    quantizer(
        name="quantizer_reverses_the_channels_of_a_filter",
        what="The output channels of a filter are stored in reverse",
        text="functional_1/convolution_1/convolution is not the float model's",
    ),
    quantizer(
        name="quantizer_doubles_a_scale",
        what="The scale of one channel is twice as large",
        text="9 of 360 values differ by more than rounding",
    ),
    quantizer(
        name="quantizer_drops_a_bias",
        what="A convolution loses its bias",
        text="has no bias, and the float model has one",
    ),
    quantizer(
        name="quantizer_zeroes_a_bias", what="A bias is zeros", text="is not the float model's: 40 of 40 values differ"
    ),
    quantizer(
        name="quantizer_removes_an_activation",
        what="A fused RELU is lost",
        text="fusedActivationFunction is 0, and 1 in the float model",
    ),
    quantizer(
        name="quantizer_changes_the_padding", what="A convolution pads", text="padding is 0, and 1 in the float model"
    ),
    quantizer(
        name="quantizer_changes_the_stride",
        what="A convolution has another stride",
        text="strideW is 2, and 1 in the float model",
    ),
    quantizer(
        name="quantizer_changes_the_axis_of_a_reduction",
        what="A mean is taken over other axes",
        text="input 1 is [1, 1], and [1, 2] in the float model",
    ),
    quantizer(
        name="quantizer_exchanges_two_layers",
        what="Two layers of one shape exchange their weights",
        text="functional_1/zeta_1/MatMul is not the float model's",
    ),
    quantizer(
        name="quantizer_returns_another_model",
        what="The model of another recipe is returned: the same network, other weights",
        text="functional_1/convolution_1/convolution is not the float model's",
    ),
    quantizer(
        name="quantizer_removes_the_softmax",
        what="The last SOFTMAX is lost",
        source="classes.tflite",
        sections=("dataset: {path: classes.npz, scale: 0.00392156862745098}",),
        text="is SOFTMAX in the float model",
    ),
    quantizer(
        name="quantizer_narrows_an_activation",
        what="An activation within the model has a sixteenth of its range",
        text="and calibration measured 0 to",
    ),
    quantizer(
        name="quantizer_writes_nan",
        what="A constant holds NaN",
        options=WEIGHTS.format("float16"),
        text="1 of 1,080 values of the constant functional_1/convolution_1/convolution are NaN",
    ),
    quantizer(
        name="quantizer_ignores_the_data",
        what="The scales of the inputs are not those of the data",
        text="input 'image' spans 255, and the calibration data",
    ),
    quantizer(name="quantizer_writes_a_scale_of_zero", what="A scale is 0", text="has the scale 0.0"),
    quantizer(
        name="quantizer_leaves_a_layer_in_float",
        what="One convolution stays float32",
        options=WEIGHTS.format("dynamic_int8"),
        text="CONV_2D kept float32 weights, int8 was declared",
    ),
    quantizer(
        name="quantizer_puts_a_custom_operator",
        what="A convolution becomes a custom operator",
        text="custom operators that the op set does not allow: OwnConvolution",
    ),
    quantizer(
        name="quantizer_puts_a_flex_operator",
        what="A convolution becomes a Flex operator",
        text="TensorFlow (Flex) operators, which opset=builtins excludes: FlexConv2D",
    ),
    quantizer(
        name="quantizer_widens_an_input_type",
        what="An input is uint8 where int8 was declared",
        text="input 'extra' is uint8, declared was int8",
    ),
    quantizer(
        name="quantizer_adds_an_undeclared_signature",
        what="The file has one more signature",
        text="signature 'more' was not declared",
    ),
    quantizer(
        name="quantizer_stores_a_table_nothing_reads",
        what="The file holds 20 kB that nothing reads",
        text="20,000 bytes of the file are read by no operator",
    ),
    quantizer(
        name="quantizer_cuts_the_file", what="The file is cut short", text="the artifact is no sound .tflite file"
    ),
    quantizer(
        name="quantizer_writes_no_file",
        what="There is no file",
        text="the step ended without writing model.tflite",
        caught_by="quantize",
    ),
    quantizer(name="quantizer_writes_an_empty_file", what="The file is empty", text="the artifact is no .tflite file"),
    quantizer(
        name="quantizer_kills_itself",
        what="The quantizer dies of a segmentation fault",
        text="the step's process was ended by SIGSEGV",
        caught_by="quantize",
    ),
    # annotate
    annotated(
        name="annotate_exchanges_mean_and_std",
        what="Mean and standard deviation are exchanged",
        text="input 'image': mean is 2, 0.5 was declared",
    ),
    annotated(
        name="annotate_forgets_a_description",
        what="The description is missing",
        text="description is missing, 'a net' was declared",
    ),
    annotated(
        name="annotate_packs_other_labels",
        what="Two lines of the label file are exchanged",
        text="labels.txt: line 1 is 'class 1', 'class 0' was declared",
    ),
    annotated(
        name="annotate_packs_no_labels",
        what="The label file is not packed",
        text="labels.txt is not in the file",
    ),
    annotated(
        name="annotate_exchanges_outputs",
        what="The descriptions of two outputs are exchanged",
        text="output 'zeta': name is 'alpha'",
    ),
    annotated(
        name="annotate_writes_another_greatest_value",
        what="The greatest value of an input is another one",
        text="input 'image': max is 9, 3 was declared",
    ),
    annotated(
        name="annotate_writes_nothing",
        what="The artifact has no metadata at all",
        text="the file has no metadata",
    ),
    # import
    imported(
        name="import_exchanges_mean_and_std",
        what="Preprocessing divides by the mean and subtracts the standard deviation",
        source="photo.keras",
        signature=PIXELS,
        text=f"output 'scores' {NOT_THE_SOURCES}",
    ),
    imported(
        name="import_forgets_the_scale",
        what="Preprocessing does not scale",
        source="photo.keras",
        signature=PIXELS,
        text=f"output 'scores' {NOT_THE_SOURCES}",
    ),
    imported(
        name="import_resizes_to_the_nearest",
        what="Preprocessing resizes to the nearest pixel and not bilinearly",
        source="photo.keras",
        signature=PIXELS,
        text=f"output 'scores' {NOT_THE_SOURCES}",
    ),
    imported(
        name="import_reverses_the_channels",
        what="Preprocessing takes the means of the channels in reverse",
        source="photo.keras",
        signature=PIXELS,
        text=f"output 'scores' {NOT_THE_SOURCES}",
    ),
    imported(
        name="import_traces_in_training_mode",
        what="The model is traced in training mode",
        source="photo.keras",
        text=f"output 'scores' {NOT_THE_SOURCES}",
    ),
    imported(
        name="import_exchanges_outputs",
        what="Two outputs exchange their names",
        source="twins.keras",
        signature=NAMED,
        text="it is the source's output '",
    ),
    imported(
        name="import_exchanges_inputs",
        what="Two inputs of one shape are fed in the wrong order",
        source="twins.keras",
        text=NOT_THE_SOURCES,
    ),
    imported(
        name="import_repeats_a_sample",
        what="The first sample of a batch is taken for all",
        source="twins.keras",
        signature="batch: null",
        text=NOT_THE_SOURCES,
    ),
    imported(
        name="import_replaces_a_variable",
        what="A variable of the snapshot has other values",
        source="photo.keras",
        text=NOT_THE_SOURCES,
    ),
    imported(
        name="import_forgets_moving_statistics",
        what="Moving mean and variance of a BatchNormalization are not loaded",
        source="photo.keras",
        text=NOT_THE_SOURCES,
    ),
    imported(
        name="import_adds_a_softmax", what="A softmax is added to an output", source="photo.keras", text=NOT_THE_SOURCES
    ),
    imported(
        name="import_rounds_to_half_precision",
        what="An output is rounded to steps of 1/64",
        source="photo.keras",
        text=NOT_THE_SOURCES,
    ),
    imported(
        name="import_flattens_an_output",
        what="An output has another shape",
        source="photo.keras",
        signature="batch: null",
        text=NOT_THE_SOURCES,
    ),
    imported(
        name="import_loses_the_snapshot",
        what="The snapshot is not whole",
        source="photo.keras",
        text="SavedModel file does not exist",
        caught_by="convert",
    ),
    # the converter
    converter(
        name="converter_exchanges_outputs",
        what="Two outputs of the signature exchange their tensors",
        source="twins.keras",
        text=FLOAT_DIFFERS,
    ),
    converter(
        name="converter_reverses_inputs_of_the_graph",
        what="The graph's inputs are in another order",
        source="twins.keras",
        caught_by="check",
        text="the inputs are in the order right, left",
    ),
    converter(
        name="converter_changes_a_weight",
        what="A quarter of the largest constant is a tenth larger",
        source="photo.keras",
        text=f"output 'scores' {FLOAT_DIFFERS}",
    ),
    converter(
        name="converter_pins_the_batch",
        what="A free batch becomes 1",
        source="photo.keras",
        signature="batch: null",
        caught_by="check",
        text="has shape [1, 6, 6, 3], declared was [None, 6, 6, 3]",
    ),
    converter(
        name="converter_drops_an_output",
        what="An output is missing",
        source="twins.keras",
        text="it is missing; there are",
    ),
    converter(
        name="converter_renames_the_signature",
        what="The signature has another name",
        source="twins.keras",
        text="other",
    ),
    converter(
        name="converter_zeroes_a_layer",
        what="The weights of a dense layer are zeros",
        source="photo.keras",
        text=FLOAT_DIFFERS,
    ),
    converter(
        name="converter_drops_a_bias", what="A dense layer loses its bias", source="photo.keras", text=FLOAT_DIFFERS
    ),
    converter(
        name="converter_removes_an_activation", what="A fused RELU is lost", source="photo.keras", text=FLOAT_DIFFERS
    ),
    converter(
        name="converter_transposes_weights",
        what="A matrix is stored transposed",
        source="photo.keras",
        text=FLOAT_DIFFERS,
    ),
    converter(
        name="converter_changes_the_padding",
        what="A convolution pads",
        source="photo.keras",
        text="num_input_elements != num_output_elements",
    ),
    converter(
        name="converter_writes_nan",
        what="A weight is NaN",
        source="photo.keras",
        text="values are NaN or infinite, and the source's are not",
    ),
    converter(
        name="converter_puts_a_flex_operator",
        what="A dense layer becomes a Flex operator",
        source="photo.keras",
        text="TensorFlow (Flex) operators, which opset=builtins excludes: FlexMatMul",
        caught_by="check",
    ),
    converter(
        name="converter_writes_an_empty_file",
        what="The file is empty",
        source="photo.keras",
        text="the artifact is no .tflite file",
    ),
)
