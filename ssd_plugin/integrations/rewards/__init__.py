"""The sandboxed grader as a reward: for any loop (`batch`), TRL's GRPOTrainer (`trl`), verl (`verl`) and NeMo RL (`nemo_rl`).

A module here is named after its framework and imports it only where it has to subclass it.
"""
