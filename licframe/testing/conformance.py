"""What every part must keep to: subclass one class, give one fixture, inherit the tests.

::

    # test_mypart.py
    import pytest
    from licframe.testing.conformance import Conformance

    class TestMyPart(Conformance):
        @pytest.fixture
        def settings(self):
            return ["entropy_model.plugin=my-part"]

``Conformance`` is for transforms, entropy models, context schedulers and refiners, ``PictureFilterConformance`` for picture
filters, ``CodecConformance`` for codecs of any kind.

The settings are those of ``--set``, applied to the small profile ``tiny``; the part is tested inside a whole
codec with random weights: round trip, exactness across settings, shapes and odd sizes, gradients, freezing,
saving and loading, NaN safety, declared capabilities. Needs pytest.
"""

from __future__ import annotations

import copy
import functools
import math
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import build, build_filter, codec_of, find_filter, load_latent, save
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, LicframeError
from licframe.evaluation.blocks import switched_off
from licframe.evaluation.information import float_information
from licframe.model import latent_coding, windows
from licframe.model.interfaces import Known, PictureFilter
from licframe.model.refinement import LatentObjective
from licframe.picture.tensors import tensor_of
from licframe.profile.profile import LatentProfile, latent_profile
from licframe.runtime.clock import Clock
from licframe.testing.codec_conformance import SIZES, CodecConformance, picture_of
from licframe.testing.exactness import sample_images

__all__ = ["CodecConformance", "Conformance", "PictureFilterConformance", "picture_of", "random_codec"]


Fitted = list[tuple[Tensor, Tensor, bytes]]


def random_codec(profile: LatentProfile, seed: int = 0) -> LatentCodec:
    """Return a frozen codec with random weights that are as large as trained ones."""
    made = copy.deepcopy(_random_codec(profile, seed))  # a tenth of the time that another would take
    torch.manual_seed(seed)
    return made


@functools.lru_cache(maxsize=4)
def _random_codec(profile: LatentProfile, seed: int) -> LatentCodec:
    torch.manual_seed(seed)
    model = build(profile)
    images = torch.from_numpy(np.stack([i[:64, :64] for i in sample_images(8, 96, seed)]))
    model.initialise(images.permute(0, 3, 1, 2).float() / 255)
    with torch.no_grad():
        for parameter in model.scheduler.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    model.tabulate()
    return codec_of(profile, model.freeze())


class Conformance:
    """Tests of a part inside a codec; see the module's text."""

    @pytest.fixture
    def settings(self) -> list[str]:
        """The ``--set`` settings that put the part into the profile ``tiny``."""
        raise NotImplementedError(
            "override the fixture settings, for example return ['refiner.plugin=none']"
        )

    @pytest.fixture
    def profile(self, settings: list[str]) -> LatentProfile:
        """The profile with the part."""
        return latent_profile("tiny", settings)

    @pytest.fixture
    def codec(self, profile: LatentProfile) -> LatentCodec:
        """A frozen codec with the part and random weights."""
        return random_codec(profile)

    @pytest.mark.parametrize("size", SIZES)
    def test_round_trip(self, codec: LatentCodec, size: tuple[int, int]) -> None:
        """A file decodes to a picture of the same size, and again to the same one."""
        encoded = codec.encode(picture_of(*size), Target(quality=60))
        decoded = codec.decode(encoded.data).picture

        assert decoded.size == size
        assert np.array_equal(decoded.pixels, codec.decode(encoded.data).picture.pixels)

    def test_symbols_are_the_same_in_every_setting(self, codec: LatentCodec) -> None:
        """Threads, oneDNN and memory format do not change what the exact path computes."""
        picture = picture_of(80, 64)
        encoded = codec.encode(picture, Target(quality=50))
        reference = codec.decode(encoded.data).picture.pixels.astype(int)
        threads = torch.get_num_threads()
        try:
            for count, onednn in ((1, True), (2, False), (3, True)):
                torch.set_num_threads(count)
                with torch.backends.mkldnn.flags(enabled=onednn, allow_tf32=None):
                    # The file's digest of the symbols is compared inside; the synthesis may round otherwise.
                    again = codec.decode(encoded.data).picture.pixels
                assert np.abs(again - reference).max() <= 1
        finally:
            torch.set_num_threads(threads)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    def test_a_gpu_codes_the_same_files(self, codec: LatentCodec, profile: LatentProfile) -> None:
        """What the CPU encodes a GPU decodes, and the other way round."""
        there = random_codec(profile)
        there.model.to("cuda")
        picture = picture_of(80, 64)
        for one, other in ((codec, there), (there, codec)):
            data = one.encode(picture, Target(quality=50)).data
            shown, again = (c.decode(data).picture.pixels.astype(int) for c in (one, other))
            assert np.abs(again - shown).max() <= 1

    def test_file_size_is_the_information(self, codec: LatentCodec) -> None:
        """Bytes are within 0.3 % and 64 bytes of the information content, container and filter aside."""
        encoded = codec.encode(picture_of(160, 144), Target(quality=80))
        beside = 32 + sum(len(s.data) for s in container.read(encoded.data).streams.values())

        assert encoded.information is not None
        assert len(encoded.data) <= encoded.information / 8 * 1.003 + 64 + beside

    @pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 3), (9, 7)])
    def test_plan_covers_every_element_once(self, codec: LatentCodec, grid: tuple[int, int]) -> None:
        """Each element of each tensor belongs to exactly one step, in training too."""
        model, scheduler = codec.model, codec.model.scheduler
        shapes = {"y": (model.transform.latent_channels, *grid), **scheduler.side_shapes(*grid)}
        zeros = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
        quality = torch.tensor([50.0])
        known = Known(model.units.float_form(model.gains(quality)[0], quality), None, **zeros)
        together = [step for step, _ in scheduler.predict_all(known, zeros)]
        for plan in (scheduler.plan(*grid), together):
            counts = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
            for step in plan:
                counts[step.tensor][step.index] += 1
            assert all(bool((count == 1).all()) for count in counts.values())

    @torch.no_grad()
    def test_float_and_exact_forms_agree(self, codec: LatentCodec) -> None:
        """The information under the frozen tables is that of the float model within 2 %."""
        latent = codec.model.analyse(tensor_of(picture_of(96, 96)), 70)
        frozen = latent_coding.encode(codec.model, latent, 70, Clock()).information
        floating = float_information(codec.model, latent, 70)

        assert frozen == pytest.approx(floating, rel=0.02, abs=64)

    def test_gradients_reach_every_parameter(self, profile: LatentProfile) -> None:
        """A training step gives finite gradients to scheduler and transform."""
        torch.manual_seed(0)
        model = random_codec(profile).model
        image = torch.rand(2, 3, 64, 64)
        estimate = model.estimate(image, torch.tensor([10.0, 90.0]))
        loss = estimate.bits.sum() / image.numel() + (estimate.image - image).square().sum()
        loss.backward()
        missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]

        assert not missing
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)

    def test_the_decoder_is_what_the_synthesis_uses(self, profile: LatentProfile) -> None:
        """Its parameters are those that the synthesis alone depends on; without a removable block it works, too."""
        transform = random_codec(profile).model.transform
        quality = torch.tensor([50.0])
        latent = torch.randn(1, transform.latent_channels, 3, 2, requires_grad=True)
        image = torch.rand(1, 3, 3 * transform.stride, 2 * transform.stride, requires_grad=True)
        inside = set(transform.decoder.parameters())
        for work, decoding in ((transform.synthesis, True), (transform.analysis, False)):
            transform.zero_grad()
            work(latent if decoding else image, quality).square().sum().backward()
            used = {p for p in transform.parameters() if p.grad is not None}
            assert used <= inside if decoding else not used & inside
        assert transform.decoder_keys() <= transform.state_dict().keys()

        modules = dict(transform.named_modules())
        for name, block in transform.removable_blocks().items():
            assert modules[name] is block
            with torch.no_grad(), switched_off(block):
                assert transform.synthesis(latent, quality).shape == image.shape
                assert transform.analysis(image, quality).shape == latent.shape

    @torch.no_grad()
    def test_windows_give_what_the_whole_gives(
        self, profile: LatentProfile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a transform says how far it sees, windows with such a halo give the same latent and picture."""
        transform = random_codec(profile).model.transform
        for parameter in transform.parameters():  # blocks that begin at zero see nothing
            parameter.add_(0.05 * torch.randn_like(parameter))
        stride, quality = transform.stride, torch.tensor([50.0])
        halos = [halo for halo in (transform.analysis_halo, transform.synthesis_halo) if halo is not None]
        high, wide = (count + 2 * max(halos, default=0) for count in (7, 3))
        image = torch.rand(1, 3, stride * high - stride // 3, stride * wide - 1)
        latent = transform.analysis(image, quality)
        shown = transform.synthesis(latent, quality)
        monkeypatch.setattr(windows, "LARGEST_WHOLE", 0)
        monkeypatch.setattr(windows, "WINDOW", 3 * stride)
        whole = slice(0, stride * high), slice(0, stride * wide)
        part = slice(stride + 1, stride * (high - 1)), slice(2 * stride, stride * wide - 3)

        assert torch.allclose(windows.analysed(transform, image, quality), latent, atol=1e-5)
        for box in (whole, part):
            found = windows.synthesised(transform, latent, quality, box)
            assert torch.allclose(found, shown[(..., *box)], atol=1e-5)

    def test_saved_weights_decode_the_same(
        self, codec: LatentCodec, settings: list[str], tmp_path: Path
    ) -> None:
        """Weights that are saved and loaded give a codec that decodes what it encodes, and keep their name."""
        path = tmp_path / "w.safetensors"
        fingerprint = save(codec.model, codec.profile, path, {})
        first = load_latent("tiny", [*settings, f"weights.file={path}"])
        second = load_latent("tiny", [*settings, f"weights.file={path}"])
        data = first.encode(picture_of(50, 40), Target(quality=40)).data

        assert first.fingerprint.hex() == fingerprint
        assert np.array_equal(first.decode(data).picture.pixels, second.decode(data).picture.pixels)

    def test_weights_that_are_not_finite_are_refused(
        self, codec: LatentCodec, settings: list[str], tmp_path: Path
    ) -> None:
        """NaN or infinity anywhere in the learned parameters is an error, not a picture of noise."""
        parameters = [p for p in codec.model.parameters() if p.numel()]
        with torch.no_grad():
            parameters[-1].view(-1)[0] = math.nan
        path = tmp_path / "w.safetensors"

        def save_and_load() -> None:
            save(codec.model, codec.profile, path, {})
            load_latent("tiny", [*settings, f"weights.file={path}"])

        with pytest.raises(LicframeError):
            save_and_load()

    def test_capabilities_are_declared(self, codec: LatentCodec) -> None:
        """``serial`` says whether the plan grows with the image; ``passes`` counts entropy models; ``parameter_axes``
        divide by their parameters."""
        scheduler = codec.model.scheduler
        small, large = len(scheduler.plan(16, 16)), len(scheduler.plan(64, 64))
        used = {step.pass_index for step in scheduler.plan(16, 16)}

        assert scheduler.exact
        assert scheduler.serial == (large > 2 * small)
        assert used <= set(range(scheduler.passes))
        assert len(codec.model.entropy_models) == scheduler.passes
        state = scheduler.state_dict()
        for name, at in scheduler.parameter_axes().items():
            count = len(cast("tuple[str, ...]", codec.model.entropy_models[at.pass_index].kinds))
            assert state[name].shape[at.axis] % (at.groups * count) == 0, name

    def test_damage_is_noticed(self, codec: LatentCodec) -> None:
        """A changed payload is an error, never another picture."""
        data = bytearray(codec.encode(picture_of(64, 64), Target(quality=50)).data)
        for place in range(len(data) // 2, len(data), max(1, len(data) // 16)):
            changed = bytearray(data)
            changed[place] ^= 4
            with pytest.raises(LicframeError):
                codec.decode(bytes(changed))

    def test_refining_is_never_worse(self, codec: LatentCodec) -> None:
        """The refiner's latent costs no more than the analysis's, in real bytes and squared error."""
        image = tensor_of(picture_of(48, 48))
        latent = codec.model.analyse(image, 40).detach()
        objective = LatentObjective(codec.model, image, latent, 40)

        assert objective.true_cost(codec.refiner.refine(objective)) <= objective.true_cost(latent)


class PictureFilterConformance:
    """Tests of a picture filter, by itself and in a whole codec; the fixture ``settings`` is that of ``Conformance``.

    Options in the settings steer the fit; what they fitted, default options must apply.
    """

    @pytest.fixture
    def settings(self) -> list[str]:
        """The ``--set`` settings that put the filter into the profile ``tiny``."""
        raise NotImplementedError(
            "override the fixture settings, for example return ['picture_filter.plugin=mine']"
        )

    @pytest.fixture
    def profile(self, settings: list[str]) -> LatentProfile:
        """The profile with the filter."""
        return latent_profile("tiny", settings)

    @pytest.fixture
    def picture_filter(self, profile: LatentProfile) -> PictureFilter:
        """The filter."""
        return build_filter(profile)

    @pytest.fixture
    def fitted(self, picture_filter: PictureFilter) -> Fitted:
        """Decoded picture, original and the filter's bytes, for what the filter finds worth sending."""
        found = []
        for size in ((1, 1), (33, 2), (61, 45)):
            image = tensor_of(picture_of(*size))
            for decoded in self.distorted(image):
                data = picture_filter.fit(decoded, image, 1e6)
                if data is not None:
                    found.append((decoded, image, data))
        if picture_filter.sends:
            assert found, "it never sends anything; override distorted() to give what it mends"
        return found

    def distorted(self, image: Tensor) -> list[Tensor]:
        """Return ``image``, ``(1, 3, H, W)`` in [0, 1], as bad synthesis might show it."""
        generator = torch.Generator().manual_seed(0)
        noise = 0.05 * torch.randn(image.shape, generator=generator)
        blurred = torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
        return [blurred, 0.8 * image + 0.05, (image + noise).clamp(0, 1), image]

    def test_applying_it_gives_the_same_picture_again(
        self, picture_filter: PictureFilter, fitted: Fitted
    ) -> None:
        """It keeps nothing from one picture to the next, and the decoded picture stays as it is."""
        for decoded, _, data in fitted:
            before = decoded.clone()
            shown = picture_filter.apply(decoded, data)

            assert shown.shape == decoded.shape
            assert bool(shown.isfinite().all())
            assert torch.equal(shown, picture_filter.apply(decoded, data))
            assert torch.equal(decoded, before)

    def test_it_sees_no_further_than_it_says(self, picture_filter: PictureFilter, fitted: Fitted) -> None:
        """A part with a halo is filtered as the whole is, at the borders too."""
        halo = picture_filter.halo
        if halo is None:
            return
        for decoded, _, data in fitted:
            shown, (height, width) = picture_filter.apply(decoded, data), decoded.shape[-2:]
            for top, left in ((0, 0), (height // 2, width // 3)):
                start, beside = max(0, top - halo), max(0, left - halo)
                rows, columns = min(height, top + 20 + halo), min(width, left + 15 + halo)
                part = picture_filter.apply(decoded[..., start:rows, beside:columns], data)
                inside = part[..., top - start :, left - beside :][..., :20, :15]
                wanted = shown[..., top : top + 20, left : left + 15]
                assert torch.allclose(inside, wanted, atol=1e-5)

    def test_none_is_worse_than_no_filter(self, picture_filter: PictureFilter) -> None:
        """What is sent saves more error than its bytes cost, at any weight."""
        image = tensor_of(picture_of(61, 45))
        for decoded in self.distorted(image):
            for weight in (1e-3, 1.0, 1e3, 1e6):
                data = picture_filter.fit(decoded, image, weight)
                if data is not None:
                    shown = picture_filter.apply(decoded, data)
                    error, before = (float((x - image).square().sum()) for x in (shown, decoded))
                    assert weight * error + 8 * len(data) <= weight * before

    def test_default_options_apply_what_others_fitted(
        self, picture_filter: PictureFilter, fitted: Fitted, profile: LatentProfile
    ) -> None:
        """A decoder knows the name and version of the filter only."""
        installed = find_filter(profile.picture_filter.label)
        assert installed is not None
        for decoded, _, data in fitted:
            assert torch.equal(installed.apply(decoded, data), picture_filter.apply(decoded, data))

    def test_any_size_takes_any_filter(self, picture_filter: PictureFilter, fitted: Fitted) -> None:
        """Bytes from one picture, in a hostile file of another size, give a picture."""
        for width, height in SIZES:
            decoded = tensor_of(picture_of(width, height))
            for *_, data in fitted:
                assert picture_filter.apply(decoded, data).shape == decoded.shape

    def test_it_is_differentiable_in_the_picture(
        self, picture_filter: PictureFilter, fitted: Fitted
    ) -> None:
        """Refiners follow its gradient."""
        for decoded, image, data in fitted:
            start = decoded.clone().requires_grad_()
            (picture_filter.apply(start, data) - image).square().sum().backward()

            assert start.grad is not None
            assert bool(start.grad.isfinite().all())
            assert bool(start.grad.any())

    def test_garbage_is_refused(self, picture_filter: PictureFilter, fitted: Fitted) -> None:
        """Bytes that are no filter raise CorruptStreamError; other bytes are a filter, and give a finite picture."""
        generator = np.random.default_rng(0)
        decoded = tensor_of(picture_of(33, 20))
        for size in (*range(40), 100, 1000):
            try:
                shown = picture_filter.apply(decoded, generator.bytes(size))
            except CorruptStreamError:
                continue
            assert shown.shape == decoded.shape
            assert bool(shown.isfinite().all())
        for data in {data for *_, data in fitted} or {b""}:
            with pytest.raises(CorruptStreamError):
                picture_filter.apply(decoded, data + generator.bytes(61))

    def test_a_codec_sends_and_reads_it(self, profile: LatentProfile) -> None:
        """Its side stream bears its name; a codec with any filter of its own reads it and shows the same picture."""
        codec = random_codec(profile)
        plain = random_codec(latent_profile("tiny", ["picture_filter.plugin=none"]))
        picture = picture_of(61, 45)
        data = codec.encode(picture, Target(quality=90)).data
        file = container.read(data)

        assert set(file.streams) <= {profile.picture_filter.label}
        assert file.payloads == container.read(plain.encode(picture, Target(quality=90)).data).payloads
        codec.verify(data)
        assert np.array_equal(plain.decode(data).picture.pixels, codec.decode(data).picture.pixels)
