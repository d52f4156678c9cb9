"""karsl's own ways, a file each."""
