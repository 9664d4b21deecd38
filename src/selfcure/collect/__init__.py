"""From words, or a folder of videos, to a dataset folder of faces with noisy labels: ``selfcure collect``."""
