"""The review desk: see which labels are doubtful, settle them, and train again on the result."""
