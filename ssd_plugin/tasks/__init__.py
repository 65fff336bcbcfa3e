"""Tasks and prompts: the shipped bank, published benchmarks, any data set."""
