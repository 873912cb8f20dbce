"""LSTM layers of Keras 3, traced as tf_keras does, so that TFLite gets one operator for each.

TFLiteConverter fuses a function that carries tf_keras's `api_implements` attribute, and unrolls
nothing else into UNIDIRECTIONAL_SEQUENCE_LSTM. Keras 3 asks its backend for a fast implementation
of every layer first, and does its own loop when there is none: here it gets the function of tf_keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


class FusedLstm:
    """Stands in for `keras.src.backend.lstm`; counts the layers that it traced."""

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
        """Outputs as Keras's backend gives them. Raises NotImplementedError for what TFLite's operator lacks."""
        usual = activation is keras.activations.tanh and recurrent_activation is keras.activations.sigmoid
        if not usual or unroll or bias is None or mask is not None:
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
    """While this lasts, Keras 3 traces its LSTM layers fused."""
    import keras.src.backend as backend

    kept, fused = backend.lstm, FusedLstm()
    backend.lstm = fused
    try:
        yield fused
    finally:
        backend.lstm = kept
