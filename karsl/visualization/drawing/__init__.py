"""What every picture is made of.

| module | what |
| --- | --- |
| `clip` | what a picture shows of a clip |
| `palette`, `viewport` | colours and styles of groups; from a clip's coordinates to pixels |
| `canvas`, `fonts`, `pillow` | lines and text, Arabic too, on Pillow |
| `skeleton`, `bars`, `title` | the bones of a frame; the bars below frames; the first line |

`clip`, `palette` and `viewport` need no Pillow.
"""
