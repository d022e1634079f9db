"""The simplest transform, refiner and codec: where one's own begin."""
