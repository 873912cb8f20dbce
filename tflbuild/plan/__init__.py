"""The stage `plan`: pure functions that make a graph of steps from resolved recipes."""
