"""Making a pack: planned, parallel, resumed, all or nothing; and verifying it, adding to it, removing from it."""
