"""Gates: one short file each; the built-ins use the plugin interface that anyone can use."""
