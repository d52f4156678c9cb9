"""What the processes of a loader take, and whether they share the records.

| module | what |
| --- | --- |
| `probe`, `rank` | loaders run in processes of their own, looked at from outside |
| `proc`, `pages` | what the system tells of a process; where a dataset's records lie |
| `records` | loaders over made-up records |
| `samples` | what was found, as plain data |
| `verdict`, `report`, `plot` | words, tables, picture |
| `hook` | the same in the log of a training run |
"""
