"""The tables of TFLite Metadata, schema version 1.5.0: fields in the order of their ids, enumerations and unions.

A field's type is `string`, a number, a table, an enumeration, a union, `bytes`, or one of these in brackets for a
vector. A union takes two ids: which member it is, then the member.
"""

from __future__ import annotations

# All versions so far have this identifier.
IDENTIFIER = b"M001"
FIRST_VERSION = "1.0.0"
# The alignment of a field of the type `bytes`.
ALIGNMENT = 16

LABEL_TYPES = ("TENSOR_AXIS_LABELS", "TENSOR_VALUE_LABELS")
NUMBERS = {"int": "i", "uint": "I", "float": "f"}

ENUMERATIONS: dict[str, tuple[str, ...]] = {  # the values are 0, 1, ...
    "AssociatedFileType": (
        *("UNKNOWN", "DESCRIPTIONS", "TENSOR_AXIS_LABELS", "TENSOR_VALUE_LABELS"),
        *("TENSOR_AXIS_SCORE_CALIBRATION", "VOCABULARY", "SCANN_INDEX_FILE"),
    ),
    "ColorSpaceType": ("UNKNOWN", "RGB", "GRAYSCALE"),
    "BoundingBoxType": ("UNKNOWN", "BOUNDARIES", "UPPER_LEFT", "CENTER"),
    "CoordinateType": ("RATIO", "PIXEL"),
    "ScoreTransformationType": ("IDENTITY", "LOG", "INVERSE_LOGISTIC"),
}

UNIONS: dict[str, tuple[str, ...]] = {  # the members are 1, 2, ...; 0 is none
    "ContentProperties": ("FeatureProperties", "ImageProperties", "BoundingBoxProperties", "AudioProperties"),
    "ProcessUnitOptions": (
        *("NormalizationOptions", "ScoreCalibrationOptions", "ScoreThresholdingOptions"),
        *("BertTokenizerOptions", "SentencePieceTokenizerOptions", "RegexTokenizerOptions"),
    ),
}

TABLES: dict[str, dict[str, str]] = {
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
        "associated_files": "[AssociatedFile]",
        "input_process_units": "[ProcessUnit]",
        "output_process_units": "[ProcessUnit]",
        "input_tensor_groups": "[TensorGroup]",
        "output_tensor_groups": "[TensorGroup]",
        "custom_metadata": "[CustomMetadata]",
    },
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "AssociatedFile": {
        "name": "string",
        "description": "string",
        "type": "AssociatedFileType",
        "locale": "string",
        "version": "string",
    },
    "Content": {"content_properties": "ContentProperties", "range": "ValueRange"},
    "ValueRange": {"min": "int", "max": "int"},
    "FeatureProperties": {},
    "ImageProperties": {"color_space": "ColorSpaceType", "default_size": "ImageSize"},
    "ImageSize": {"width": "uint", "height": "uint"},
    "BoundingBoxProperties": {"index": "[uint]", "type": "BoundingBoxType", "coordinate_type": "CoordinateType"},
    "AudioProperties": {"sample_rate": "uint", "channels": "uint"},
    "ProcessUnit": {"options": "ProcessUnitOptions"},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "ScoreCalibrationOptions": {"score_transformation": "ScoreTransformationType", "default_score": "float"},
    "ScoreThresholdingOptions": {"global_score_threshold": "float"},
    "BertTokenizerOptions": {"vocab_file": "[AssociatedFile]"},
    "SentencePieceTokenizerOptions": {"sentencePiece_model": "[AssociatedFile]", "vocab_file": "[AssociatedFile]"},
    "RegexTokenizerOptions": {"delim_regex_pattern": "string", "vocab_file": "[AssociatedFile]"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "TensorGroup": {"name": "string", "tensor_names": "[string]"},
    "CustomMetadata": {"name": "string", "data": "bytes"},
}

# (table, field), (enumeration, value) or (union, member) -> the version that introduced it, unless it is the first.
SINCE: dict[tuple[str, str], str] = {
    ("AssociatedFileType", "VOCABULARY"): "1.0.1",
    ("AssociatedFileType", "SCANN_INDEX_FILE"): "1.4.0",
    ("AssociatedFile", "version"): "1.4.1",
    ("ContentProperties", "AudioProperties"): "1.3.0",
    ("ProcessUnitOptions", "BertTokenizerOptions"): "1.1.0",
    ("ProcessUnitOptions", "SentencePieceTokenizerOptions"): "1.1.0",
    ("ProcessUnitOptions", "RegexTokenizerOptions"): "1.2.1",
    ("SubGraphMetadata", "input_process_units"): "1.1.0",
    ("SubGraphMetadata", "output_process_units"): "1.1.0",
    ("SubGraphMetadata", "input_tensor_groups"): "1.2.0",
    ("SubGraphMetadata", "output_tensor_groups"): "1.2.0",
    ("SubGraphMetadata", "custom_metadata"): "1.5.0",
}
