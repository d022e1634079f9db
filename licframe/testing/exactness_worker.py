"""One process of the exactness matrix: encodes all images, or decodes all files, in one setting."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import LicframeError
from licframe.model import latent_coding
from licframe.model.interfaces import RefinementObjective, Refiner
from licframe.picture.images import from_array


class _Batched(nn.Module):
    """Run a transform on a batch of copies and keep the first."""

    def __init__(self, inner: Any, batch: int, channels_last: bool) -> None:
        super().__init__()
        self.inner, self.batch = inner, batch
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.stride, self.latent_channels = inner.stride, inner.latent_channels
        self.analysis_halo, self.synthesis_halo = inner.analysis_halo, inner.synthesis_halo

    def _many(self, x: Tensor) -> Tensor:
        return x.repeat(self.batch, 1, 1, 1).contiguous(memory_format=self.format)

    def analysis(self, image: Tensor, quality: Tensor) -> Tensor:
        return self.inner.analysis(self._many(image), quality.repeat(self.batch))[:1]

    def synthesis(self, latent: Tensor, quality: Tensor) -> Tensor:
        return self.inner.synthesis(self._many(latent), quality.repeat(self.batch))[:1]


def _latent_digest(record: list[str]) -> None:
    """Record a digest of every latent that is decoded."""
    plain_decode = latent_coding.decode

    def decode(*args: Any, **settings: Any) -> Tensor:
        y = plain_decode(*args, **settings)
        record.append(hashlib.sha256(y.numpy().tobytes()).hexdigest())
        return y

    latent_coding.decode = decode


class _Unrefined(Refiner):
    def refine(self, objective: RefinementObjective) -> Tensor:
        return objective.analysed


def _main(
    action: str, profiles: list[str], name: str, folder: Path, setting: dict[str, Any], qualities: list[int]
) -> None:
    torch.set_num_threads(setting["threads"])
    torch.backends.mkldnn.enabled = setting["onednn"]
    digests: list[str] = []
    _latent_digest(digests)
    for number, profile in enumerate(profiles):
        codec = load_latent(profile, device=setting["device"])
        codec.refiner = _Unrefined()
        if setting["compiled"]:
            # For each size anew: with sizes as symbols torch 2.13 cannot compile grid_sample.
            for part in ("analysis", "synthesis"):
                transform = codec.model.transform
                setattr(transform, part, torch.compile(getattr(transform, part), dynamic=False))
        for model in (codec.model, *([] if codec.detail is None else [codec.detail.model])):
            if not setting["channels_last"]:
                model.transform.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            model.transform = _Batched(model.transform, setting["batch"], setting["channels_last"])  # type: ignore[assignment]
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        if action == "encode":
            _encode(codec, folder, place, name, qualities, digests)
        else:
            _decode(codec, place, name, digests)


def _encode(
    codec: LatentCodec, folder: Path, place: Path, name: str, qualities: list[int], digests: list[str]
) -> None:
    with np.load(folder / "images.npz") as images:
        for key in images:
            for quality in qualities:
                digests.clear()
                data = codec.encode(from_array(images[key]), Target(quality=quality)).data
                path = place / f"{key}-{quality}-{name}.lic"
                path.write_bytes(data)
                # The encoder has decoded its own file, details too, and compared it with what it encoded.
                path.with_suffix(".latent").write_text(" ".join(digests))


def _decode(codec: LatentCodec, place: Path, name: str, digests: list[str]) -> None:
    said: dict[str, str] = {}
    pixels: dict[str, Any] = {}
    for path in sorted(place.glob("*.lic")):
        digests.clear()
        try:
            pixels[path.stem] = codec.decode(path.read_bytes()).picture.pixels
            same = " ".join(digests) == path.with_suffix(".latent").read_text()
            said[path.stem] = "equal" if same else "other symbols"
        except LicframeError as error:
            said[path.stem] = str(error)
    (place / f"decoded-{name}.json").write_text(json.dumps(said))
    np.savez(place / f"decoded-{name}.npz", **pixels)


if __name__ == "__main__":
    _main(
        sys.argv[1],
        json.loads(sys.argv[2]),
        sys.argv[3],
        Path(sys.argv[4]),
        json.loads(sys.argv[5]),
        json.loads(sys.argv[6]),
    )
