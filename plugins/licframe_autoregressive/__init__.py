"""Serial autoregressive context scheduler."""
