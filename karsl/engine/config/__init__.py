"""Configs: found, read, checked, changed from the command line, and completed from the dataset.

| module | what |
| --- | --- |
| `load` | a file becomes a config, or one sentence says why not |
| `shipped` | the configs that karsl ships |
| `keys`, `arguments`, `type_names` | mistyped keys, arguments and types, by their place |
| `overrides` | what the command line changes |
| `loaders`, `collate` | loaders checked, found and built; collate functions by their names |
| `auto_fill` | what a model must know of its dataset |
| `walk` | ways through a config |
"""
