"""Fine-tuning on the model's own samples: one protocol, several backends."""
