"""From a run folder to one file that other programs run."""
