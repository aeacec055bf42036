"""Networks from elsewhere: a converted VGG as the teacher, published caption embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import devices, profiles, vgg
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.judging import networks
from sdn_lib.learning import checkpoints
from sdn_lib.profiles import Profile
from sdn_lib.progress import Progress
from sdn_lib.runs import weights
from sdn_lib.runs.data import dataset
from sdn_lib.teacher import Teacher


def teacher_file(profile: Profile) -> Path:
    """Return where the profile's converted teacher lies; SDNError says how to make it."""
    path = profiles.ROOT / str(profile.network.teacher_weights)
    if not path.is_file():
        raise SDNError(
            f"{path} is missing: make it with data_scripts/convert_weights.py, or override "
            "network__teacher_weights"
        )
    return path


def converted_teacher(profile: Profile) -> Teacher:
    """Return the profile's converted teacher; SDNError for a file of another network."""
    n, path = profile.network, teacher_file(profile)
    model = weights.load(path, n.pooling, n.preprocessing)
    if model.table != vgg.layers(n.depth, n.width):
        raise SDNError(f"{path} holds a VGG{model.depth} of width 1, the profile has another")
    return model


IMAGENET, JUDGE = "lite0", "lite2"
"""The EfficientNet whose view of photographs their teacher learns, and the one that judges what
students paint."""


def imagenet_features(profile: Profile, variant: str = IMAGENET) -> np.ndarray:
    """Return what an EfficientNet sees in the training photographs, float32 (n, 1280).

    Cached on disk. Raises SDNError where its packages are missing, or the profile has no
    photographs.
    """
    if profile.photos is None:
        raise SDNError(
            f"profile {profile.name!r} has no photographs to look at: name a prepared folder in "
            "photos"
        )
    data, path = dataset(profile), profile.runs / f"imagenet-{variant}.safetensors"
    key = {"data": data.checksum, "network": variant}

    def look() -> Tensor:
        rows = data.indices("train")
        network = networks.efficientnet_network(variant)
        with Progress("looking", "photographs") as progress, devices.borrowed(network) as device:

            def parts() -> Iterator[np.ndarray]:
                for start in range(0, len(rows), 256):
                    yield np.asarray(data.images[rows[start : start + 256]])
                    progress(min(start + 256, len(rows)), len(rows))

            return torch.from_numpy(networks.outputs(network, parts(), device)["features"])

    return checkpoints.cached(path, "features", key, look).numpy()


def has_embeddings(profile: Profile) -> bool:
    """Say whether embeddings of its captions came with the profile's photographs."""
    return profile.photos is not None and "embeddings" in dataset(profile).arrays


class PublishedText(nn.Module):
    """Looks embeddings up that came with a data set; it reads no caption but theirs."""

    def __init__(self, data: prepared.Prepared) -> None:
        super().__init__()
        self.table, self.checksum = data.arrays["embeddings"], data.checksum
        self.text_dim = self.table.shape[-1]
        self.places: dict[str, tuple[int, int]] = {}
        for row, lines in enumerate(data.captions):
            self.places.update((line, (row, k)) for k, line in enumerate(lines))

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return float32 embeddings (n, text_dim) of captions of the data set.

        Raises SDNError that quotes a caption which is not.
        """
        for line in captions:
            if line not in self.places:
                raise SDNError(
                    f"there is no published embedding of {line!r}: prepare the data set without "
                    "embeddings, and a reader is trained that reads any caption"
                )
        rows = [np.asarray(self.table[self.places[line]], dtype=np.float32) for line in captions]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.text_dim)
