"""Which clips are looked at, of any dataset, folder or file.

| module | what |
| --- | --- |
| `opening` | a folder or a file as a dataset |
| `views` | datasets of others, streams and sources of files as what can be looked at clip by clip |
| `places` | where a clip lies below wrappers and combinators |
| `catalogue` | the facts of every clip in columns, and filters |
| `choice` | clips chosen, and their results along the pipeline |
"""
