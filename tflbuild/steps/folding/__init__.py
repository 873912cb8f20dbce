"""Constants folded before conversion, with the same bits on every CPU. Worker code."""
