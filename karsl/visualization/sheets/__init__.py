"""Contact sheets: of one clip along its pipeline, of many clips, of the clips of a sign, of a prediction."""
