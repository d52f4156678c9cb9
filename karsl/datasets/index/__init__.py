"""The index file of a dataset: written once a node, mapped by every process. The way in is `parse_once`."""
