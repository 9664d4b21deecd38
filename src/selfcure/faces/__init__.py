"""From photographs and videos to aligned faces: detection, alignment, and ``selfcure faces``."""
