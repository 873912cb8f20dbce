"""The CPU with XNNPACK."""
