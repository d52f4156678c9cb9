"""Configs: loading, overriding, checking, and completing from the dataset.

| module | content |
| --- | --- |
| `tree` | traversal of a config |
| `errors` | checks of keys, types and arguments |
| `loaders` | data loaders and collate functions |
| `model_args` | model arguments that follow from the dataset |
| `load` | `load_config`, overrides, shipped configs |
"""
