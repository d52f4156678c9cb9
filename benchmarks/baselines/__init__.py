"""Other formats and libraries, one file each, as their documentation recommends for random access."""
