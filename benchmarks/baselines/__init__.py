"""The ways that people use, one file each, in the form their documentation recommends for random reading."""
