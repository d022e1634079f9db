"""Tables and range coder: exact counts, round trips, agreement with a second decoder, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from licframe.errors import CorruptStreamError, LimitError, WeightsMismatchError
from licframe.exact.coder import BIT_TOTAL, LARGEST_RESIDUAL, Decoder, Encoder
from licframe.exact.tables import TOTAL_BITS, TableBank, integer_counts
from licframe.profile.profile import latent_profile
from licframe.registry.discovery import load_class
from tests.reference import RangeDecoder, decode_step


@pytest.fixture(scope="module")
def bank() -> TableBank:
    return TableBank.load("licframe_plugins.entropy_models", "gaussian.npz")


def steps(seed: int, count: int, scale: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Random table indices and residuals; a few residuals far outside every table."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        shape = tuple(rng.integers(0, 9, 3))
        index = rng.integers(-1, 97, shape)
        residual = np.round(rng.normal(0, scale, shape))
        far = rng.random(shape) < 0.01
        residual[far] = np.round(rng.normal(0, 1e5, shape))[far]
        out.append((torch.from_numpy(index), torch.from_numpy(residual)))
    return out


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=200))
def test_integer_counts_are_positive_and_sum_exactly(weights: list[float]) -> None:
    counts = integer_counts([w + 1e-9 for w in weights])

    assert counts.sum() == 2**TOTAL_BITS
    assert counts.min() >= 1


@given(st.integers(0, 10**6), st.sampled_from([0.3, 3.0, 100.0]))
def test_decoder_returns_what_was_encoded(bank: TableBank, seed: int, scale: float) -> None:
    sent = steps(seed, 5, scale)
    encoder = Encoder()
    for index, residual in sent:
        coded = encoder.code(bank, index, residual)
        encoder.note(coded)
        assert torch.equal(coded, torch.where(index >= 0, residual, 0.0))
    decoder = Decoder(encoder.finish())
    for index, residual in sent:
        found = decoder.code(bank, index)
        decoder.note(found)
        assert torch.equal(found, torch.where(index >= 0, residual, 0.0))
    decoder.finish()
    assert decoder.digest == encoder.digest


@pytest.mark.slow
@given(st.integers(0, 10**6))
def test_a_second_decoder_agrees(bank: TableBank, seed: int) -> None:
    sent = steps(seed, 3, 5.0)
    encoder = Encoder()
    for index, residual in sent:
        encoder.code(bank, index, residual)
    decoder = RangeDecoder(encoder.finish())
    for index, residual in sent:
        decoded = decode_step(decoder, bank.halves, bank.counts, index.numpy())
        assert np.array_equal(decoded, np.where(index.numpy() >= 0, residual.numpy(), 0))


def test_bytes_match_the_information(bank: TableBank) -> None:
    rng = np.random.default_rng(0)
    index = torch.from_numpy(rng.integers(1, 60, 50_000))
    scale = 0.11 * 2.0 ** (index.numpy() / 8)
    residual = torch.from_numpy(np.round(rng.normal(0, scale)))
    encoder = Encoder()
    encoder.code(bank, index, residual)
    size = len(encoder.finish())

    assert encoder.bits / 8 <= size <= encoder.bits / 8 * 1.0005 + 8


def test_residual_out_of_range_is_refused_not_clipped(bank: TableBank) -> None:
    far = torch.tensor([float(LARGEST_RESIDUAL + 1)])

    with pytest.raises(LimitError, match="lower quality"):
        Encoder().code(bank, torch.tensor([5]), far)


def test_largest_residual_survives(bank: TableBank) -> None:
    values = torch.tensor([LARGEST_RESIDUAL, -LARGEST_RESIDUAL, 0, 1], dtype=torch.float64)
    encoder = Encoder()
    encoder.code(bank, torch.full((4,), 3), values)

    assert torch.equal(Decoder(encoder.finish()).code(bank, torch.full((4,), 3)), values)


@pytest.mark.parametrize("data", [b"\xff" * 16, b"", b"\x00" * 3])
def test_foreign_bytes_are_an_error_or_leave_a_wrong_digest(bank: TableBank, data: bytes) -> None:
    encoder = Encoder()
    encoder.note(encoder.code(bank, torch.full((500,), 40), torch.ones(500)))
    try:
        decoder = Decoder(data)
        decoder.note(decoder.code(bank, torch.full((500,), 40)))
        assert decoder.digest != encoder.digest
    except CorruptStreamError as error:
        assert "damaged" in str(error)


def test_left_over_bytes_are_an_error(bank: TableBank) -> None:
    encoder = Encoder()
    encoder.code(bank, torch.full((500,), 40), torch.ones(500))
    decoder = Decoder(encoder.finish() + b"\x01\x02\x03\x04" * 4)
    decoder.code(bank, torch.full((500,), 40))

    with pytest.raises(CorruptStreamError, match="goes on"):
        decoder.finish()


def test_a_changed_table_is_refused(bank: TableBank, tmp_path, monkeypatch) -> None:
    counts = [row.copy() for row in bank.counts]
    counts[10][0] += 1
    counts[10][1] -= 1
    changed = TableBank(bank.halves, counts)
    assert changed.digest != bank.digest
    changed.digest = bank.digest
    package = tmp_path / "damaged_tables"
    package.mkdir()
    (package / "__init__.py").touch()
    changed.save(str(package / "bank.npz"))
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(WeightsMismatchError, match="digest"):
        TableBank.load("damaged_tables", "bank.npz")


def test_shipped_tables_are_gaussian(bank: TableBank) -> None:
    from licframe_plugins.entropy_models.single import make_tables

    made = TableBank.from_probabilities(make_tables("gaussian"))
    for ours, theirs in zip(bank.counts, made.counts, strict=True):
        # erfc may differ in its last bit elsewhere; the shipped numbers are what counts
        assert np.abs(ours - theirs).max() <= 1


def test_rate_estimate_matches_tables() -> None:
    choice = latent_profile("tiny").entropy_models[0]
    model = load_class(choice.part)(choice.options)
    for table in range(1, 97, 7):
        log2_scale = torch.full((1, 1), np.log2(0.11) + table / 8)
        for residual in (0, 1, 2):
            if residual > model.bank.halves[table]:
                continue
            bits = model.bits(
                torch.full((1, 1), float(residual)), torch.stack([log2_scale * 0, log2_scale], 1)
            )
            exact = model.bank.information(model.bank.starts[table], residual + model.bank.halves[table])
            if exact < 12:
                assert float(bits) == pytest.approx(exact, abs=0.02)
            fixed = torch.stack([log2_scale * 0, (log2_scale * 4096).round()], 1).double()
            assert model.index(fixed).item() == table


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(0, 10**6))
def test_flags_and_decisions_come_back(flags: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sent = np.array(flags)
    probability = rng.integers(1, BIT_TOTAL, len(sent))
    bits = rng.random(len(sent)) * BIT_TOTAL < probability
    encoder = Encoder()
    encoder.code_flags(sent)
    encoder.code_bits(probability, bits)
    data = encoder.finish()
    decoder = Decoder(data)

    assert np.array_equal(decoder.code_flags(len(sent)), sent)
    assert np.array_equal(decoder.code_bits(probability), bits)
    decoder.finish()
    assert len(data) * 8 <= encoder.bits + 64


def test_flags_cost_what_their_number_says() -> None:
    encoder = Encoder()
    encoder.code_flags(np.arange(256) < 64)

    assert encoder.bits == pytest.approx(256 * 0.8113 + np.log2(257), rel=1e-3)
