"""The tutorial's CNN as the tutorial has it, in Keras; with the weights of ours where both are to agree."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def build(size: int, classes: int, dropout: float, learning_rate: float) -> Any:
    import keras
    from keras import layers

    pooled = [
        layer
        for width in (32, 32, 64)
        for layer in (layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D(2))
    ]
    dense = [layers.Dense(128, activation="relu"), layers.Dense(classes, activation="softmax")]
    net = keras.Sequential([keras.Input((size, size, 3)), *pooled, layers.Dropout(dropout), layers.Flatten(), *dense])
    net.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy")
    return net


def pictures(decibels: Array) -> Array:
    """(B, bands, frames) from -80 dB to 0 as (B, bands, frames, 3) from 0 to 1."""
    return np.repeat((1 + decibels / 80)[..., None], 3, axis=-1)


def take_weights(net: Any, state: dict[str, Array]) -> None:
    """Give ``net`` the weights of ``pipeline.models.cnn`` with the arch ``tutorial``; channels come last in Keras."""
    maps = net.layers[-4].output.shape[1:]  # behind the last pooling: bands, frames, channels
    converted = []
    for position, values in enumerate(state.values()):
        if values.ndim == 4:
            values = values.transpose(2, 3, 1, 0)
        elif position == 6:  # the first dense layer, whose inputs are the maps laid out flat
            values = values.reshape(-1, maps[2], maps[0], maps[1]).transpose(2, 3, 1, 0)
            values = values.reshape(-1, values.shape[-1])
        elif values.ndim == 2:
            values = values.T
        converted.append(values)
    net.set_weights(converted)
