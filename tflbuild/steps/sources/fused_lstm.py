"""LSTM layers of Keras 3 that are traced with the function of tf_keras, so that each becomes one operator.

TFLiteConverter makes UNIDIRECTIONAL_SEQUENCE_LSTM only of functions with the attribute `api_implements` of tf_keras.
Keras 3 first asks its backend for a fast implementation of a layer, and runs its own loop if there is none. This module
provides the function of tf_keras as that implementation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


class FusedLstm:
    """A replacement of `keras.src.backend.lstm`. `traced` is the number of layers that it traced."""

    def __init__(self) -> None:
        self.traced = 0

    def __call__(
        self,
        inputs: Any,
        initial_state_h: Any,
        initial_state_c: Any,
        mask: Any,
        kernel: Any,
        recurrent_kernel: Any,
        bias: Any,
        activation: Any,
        recurrent_activation: Any,
        return_sequences: bool = False,
        go_backwards: bool = False,
        unroll: bool = False,
        time_major: bool = False,
    ) -> tuple[Any, Any, list[Any]]:
        """Return the outputs like the backend of Keras: the last output, all outputs, and the two states.

        Raises:
            NotImplementedError: The TensorFlow Lite operator does not support these options. Keras then runs its loop.
        """
        default_activations = activation is keras.activations.tanh and recurrent_activation is keras.activations.sigmoid
        if not default_activations or unroll or bias is None or mask is not None:
            raise NotImplementedError("no fused operator has these options")
        from tf_keras.src.layers.rnn import gru_lstm_utils, lstm

        attributes = {"time_major": time_major, "go_backwards": go_backwards}
        fused = gru_lstm_utils.generate_defun_backend(
            f"lstm_{self.traced}", gru_lstm_utils.CPU_DEVICE_NAME, lstm.standard_lstm, attributes
        )
        self.traced += 1
        last, outputs, h, c, _ = fused(
            inputs=tf.convert_to_tensor(inputs),
            init_h=tf.convert_to_tensor(initial_state_h),
            init_c=tf.convert_to_tensor(initial_state_c),
            kernel=tf.convert_to_tensor(kernel),
            recurrent_kernel=tf.convert_to_tensor(recurrent_kernel),
            bias=tf.convert_to_tensor(bias),
            mask=None,
            sequence_lengths=None,
            zero_output_for_mask=False,
            return_sequences=return_sequences,
            **attributes,
        )
        return last, outputs, [h, c]


@contextmanager
def fused_lstms() -> Iterator[FusedLstm]:
    """Let Keras 3 trace LSTM layers as fused operators within the block."""
    import keras.src.backend as backend

    original, fused = backend.lstm, FusedLstm()
    backend.lstm = fused
    try:
        yield fused
    finally:
        backend.lstm = original
