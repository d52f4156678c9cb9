"""Files that lie elsewhere, over HTTP or what fsspec opens: whole, in parts, and kept in a bounded folder here."""
