"""The line's stages, one file each; every one reads and writes named files of a run directory."""
