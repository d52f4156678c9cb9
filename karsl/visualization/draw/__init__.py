"""Drawing of clips on Pillow images.

| module | contents |
| --- | --- |
| `clip` | a clip ready to draw |
| `palette` | colors and line styles of keypoint groups |
| `canvas` | lines and text, including Arabic |
| `skeleton` | fit to a panel, bones of one frame |
| `captions` | title, presence bars, legend |

`clip` and `palette` do not need Pillow.
"""
