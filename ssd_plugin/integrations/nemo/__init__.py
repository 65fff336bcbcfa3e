"""The plugin inside NeMo-Run: `nemo llm finetune --recipe ssd_qwen3`. Imported by the `nemo` command, never by `ssd`."""
