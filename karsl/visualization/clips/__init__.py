"""Selection of clips from a dataset, folder or file.

| module | contents |
| --- | --- |
| `sources` | clip-by-clip access to any dataset, source or stream |
| `open` | a folder or file as a dataset |
| `select` | table of all clips, filters, selected clips and their pipeline stages |
"""
