"""From photographs, videos and cameras to classes: what a trained run, or its export, says of faces or whole images."""
